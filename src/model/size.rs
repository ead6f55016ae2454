//! Amounts of memory and of processor time.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not an amount.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SizeError {
    /// No number at the beginning.
    #[error("`{0}` does not begin with a number")]
    NoNumber(String),
    /// A unit that is not in the list.
    #[error(
        "unknown unit `{0}`: use B, KiB, MiB, GiB or TiB (K, M, G and T mean the same; KB, MB, GB, TB are decimal)"
    )]
    BadUnit(String),
    /// Outside what can be expressed.
    #[error("`{0}` is out of range")]
    OutOfRange(String),
    /// No set of processors.
    #[error("`{0}` is no set of processors: write it as `0-3,8`")]
    NoCpuSet(String),
}

/// An amount of memory in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

impl FromStr for Bytes {
    type Err = SizeError;

    /// `256MiB`, `2G`, `1.5GiB`, `4096`. As in LXC and in cgroup files, a bare `K`, `M`, `G` or `T` is binary.
    fn from_str(text: &str) -> Result<Self, SizeError> {
        let text = text.trim();
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, unit) = text.split_at(end);
        let unit = unit.trim();
        let factor: u64 = match unit {
            "" | "B" => 1,
            "K" | "k" | "KiB" | "Ki" => 1 << 10,
            "M" | "MiB" | "Mi" => 1 << 20,
            "G" | "GiB" | "Gi" => 1 << 30,
            "T" | "TiB" | "Ti" => 1 << 40,
            "KB" | "kB" => 1_000,
            "MB" => 1_000_000,
            "GB" => 1_000_000_000,
            "TB" => 1_000_000_000_000,
            _ if number.is_empty() => return Err(SizeError::NoNumber(text.to_owned())),
            _ => return Err(SizeError::BadUnit(unit.to_owned())),
        };
        if let Ok(whole) = number.parse::<u64>() {
            return whole.checked_mul(factor).map(Bytes).ok_or_else(|| SizeError::OutOfRange(text.to_owned()));
        }
        let fraction: f64 = number.parse().map_err(|_| SizeError::NoNumber(text.to_owned()))?;
        #[expect(clippy::cast_precision_loss, reason = "a fraction of a unit is approximate by nature")]
        let bytes = fraction * factor as f64;
        if !(0.0..9e18).contains(&bytes) {
            return Err(SizeError::OutOfRange(text.to_owned()));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked above")]
        Ok(Bytes(bytes as u64))
    }
}

impl fmt::Display for Bytes {
    /// The largest binary unit that divides the amount; else one decimal of the largest that fits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [(&str, u64); 4] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
        for (unit, size) in UNITS {
            if self.0 >= size && self.0.is_multiple_of(size) {
                return f.pad(&format!("{}{unit}", self.0 / size));
            }
            if self.0 >= size {
                #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
                return f.pad(&format!("{:.1}{unit}", self.0 as f64 / size as f64));
            }
        }
        f.pad(&format!("{}B", self.0))
    }
}

/// An amount of processor time, in thousandths of one processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Cpus {
    /// Thousandths of one processor; at least 10, the least that the kernel's quota of 1 ms in 100 ms can express.
    pub millis: u32,
}

impl Cpus {
    /// The amount as a number of processors, as JSON shows it.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        f64::from(self.millis) / 1000.0
    }
}

impl FromStr for Cpus {
    type Err = SizeError;

    /// `2`, `0.5`, `1.25`.
    fn from_str(text: &str) -> Result<Self, SizeError> {
        let number: f64 = text.trim().parse().map_err(|_| SizeError::NoNumber(text.to_owned()))?;
        if !(0.01..=4096.0).contains(&number) {
            return Err(SizeError::OutOfRange(text.to_owned()));
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the range was checked above")]
        Ok(Cpus { millis: (number * 1000.0).round() as u32 })
    }
}

impl fmt::Display for Cpus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.as_f64().to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_lxc_users_expect() {
        assert_eq!("256MiB".parse(), Ok(Bytes(256 << 20)));
        assert_eq!("1G".parse(), Ok(Bytes(1 << 30)));
        assert_eq!("1GB".parse(), Ok(Bytes(1_000_000_000)));
        assert_eq!("1.5GiB".parse(), Ok(Bytes(3 << 29)));
        assert_eq!("512".parse(), Ok(Bytes(512)));
        assert_eq!("12 parsecs".parse::<Bytes>(), Err(SizeError::BadUnit("parsecs".into())));
        assert_eq!("much".parse::<Bytes>(), Err(SizeError::NoNumber("much".into())));
        assert_eq!("99999999TiB".parse::<Bytes>(), Err(SizeError::OutOfRange("99999999TiB".into())));
    }

    #[test]
    fn a_size_is_written_in_its_largest_whole_unit() {
        assert_eq!(Bytes(256 << 20).to_string(), "256MiB");
        assert_eq!(Bytes((1 << 30) + (1 << 29)).to_string(), "1.5GiB");
        assert_eq!(Bytes(17).to_string(), "17B");
    }

    #[test]
    fn cpus_are_kept_in_thousandths() {
        assert_eq!("0.5".parse(), Ok(Cpus { millis: 500 }));
        assert_eq!(Cpus { millis: 1250 }.to_string(), "1.25");
        assert!("0".parse::<Cpus>().is_err());
        assert!("NaN".parse::<Cpus>().is_err());
    }
}
