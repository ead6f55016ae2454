//! The form of `OpenPGP` keys that is text (RFC 4880, chapter 6).

/// Begins it.
pub(super) const BEGIN: &[u8] = b"-----BEGIN PGP PUBLIC KEY BLOCK-----";
const END: &str = "-----END PGP PUBLIC KEY BLOCK-----";

/// What the first block of `armored` holds; `None` if it is none. Its checksum, which stands for no trust, is passed over.
pub(super) fn decoded(armored: &[u8]) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(armored).ok()?;
    let lines = text.lines().map(str::trim).skip(1).skip_while(|line| !line.is_empty());
    let mut content = Vec::new();
    let (mut bits, mut count) = (0_u32, 0);
    for line in lines {
        if line == END {
            return Some(content);
        }
        if line.starts_with('=') {
            continue;
        }
        for byte in line.bytes().filter(|byte| *byte != b'=') {
            bits = (bits << 6) | sextet(byte)?;
            count += 6;
            if count >= 8 {
                count -= 8;
                content.push(u8::try_from((bits >> count) & 0xff).ok()?);
            }
        }
    }
    None
}

fn sextet(byte: u8) -> Option<u32> {
    Some(match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_read_with_and_without_headers() {
        let block = |head: &str, body: &str| {
            format!("-----BEGIN PGP PUBLIC KEY BLOCK-----\n{head}\n{body}\n=abcd\n-----END PGP PUBLIC KEY BLOCK-----\n")
        };
        assert_eq!(decoded(block("", "bWUg\nYW5kIHlvdQ==").as_bytes()), Some(b"me and you".to_vec()));
        assert_eq!(decoded(block("Comment: x\n", "bWU=").as_bytes()), Some(b"me".to_vec()));
        assert_eq!(decoded(block("", "b!").as_bytes()), None);
        assert_eq!(decoded(b"-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nbWU=\n"), None);
    }
}
