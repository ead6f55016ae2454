//! Addresses of servers and of files on them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::{Host, Url};

/// An address that images may come from: HTTPS, or plain HTTP to this host itself. Without user, password and fragment;
/// a path never ends in `/`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct WebUrl(String);

/// Why a text is not such an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WebUrlError {
    /// Not an address at all.
    #[error("`{0}` is not a web address: write `https://HOST/PATH`")]
    Malformed(String),
    /// Another scheme.
    #[error("`{0}` is not fetched from: only https is safe, and http to localhost, 127.0.0.1 or [::1]")]
    Unsafe(String),
    /// It has a part that is not used.
    #[error("`{0}` has a {1}, which is not used here")]
    Superfluous(String, &'static str),
}

impl WebUrl {
    /// Whether it leads to this host itself.
    #[must_use]
    pub fn is_local(&self) -> bool {
        Url::parse(&self.0).is_ok_and(|url| is_local(&url))
    }

    /// The server's name, with its port if it is not the usual one.
    #[must_use]
    pub fn host(&self) -> &str {
        let rest = self.0.split_once("://").map_or(self.0.as_str(), |(_, rest)| rest);
        rest.split(['/', '?']).next().unwrap_or(rest)
    }

    /// The address itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address of `path` below this one. Everything in it but letters, digits and `-._~` is percent-encoded, for
    /// serials have colons (RFC 3986 §2.3). `None` if the path could mean something else than a place below: an
    /// absolute one, one with `.`, `..` or empty components, one that begins with a scheme, or an unprintable one.
    #[must_use]
    pub fn join(&self, path: &str) -> Option<WebUrl> {
        let is_plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains(['\\', '?', '#', '%']);
        let has_scheme = path.split('/').next().is_some_and(|first| first.contains(':'));
        let is_printable = path.chars().all(|letter| !letter.is_control());
        if has_scheme || !is_printable || !path.split('/').all(is_plain) {
            return None;
        }
        let mut joined = self.0.clone();
        for part in path.split('/') {
            joined.push('/');
            joined.extend(part.bytes().map(encoded));
        }
        Some(WebUrl(joined))
    }
}

fn encoded(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}

fn is_local(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.octets() == [127, 0, 0, 1],
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether files may be fetched from `url`: what a server redirects to is judged by the same rule as what a fleet file
/// names.
#[must_use]
pub fn is_safe_to_fetch(url: &Url) -> bool {
    url.scheme() == "https" || (url.scheme() == "http" && is_local(url))
}

impl FromStr for WebUrl {
    type Err = WebUrlError;

    fn from_str(text: &str) -> Result<WebUrl, WebUrlError> {
        let url = Url::parse(text).map_err(|_| WebUrlError::Malformed(text.to_owned()))?;
        if !url.has_host() {
            return Err(WebUrlError::Malformed(text.to_owned()));
        }
        if !is_safe_to_fetch(&url) {
            return Err(WebUrlError::Unsafe(text.to_owned()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(WebUrlError::Superfluous(text.to_owned(), "user name or password"));
        }
        if url.fragment().is_some() {
            return Err(WebUrlError::Superfluous(text.to_owned(), "fragment"));
        }
        Ok(WebUrl(url.as_str().trim_end_matches('/').to_owned()))
    }
}

impl TryFrom<String> for WebUrl {
    type Error = WebUrlError;

    fn try_from(text: String) -> Result<WebUrl, WebUrlError> {
        text.parse()
    }
}

impl From<WebUrl> for String {
    fn from(url: WebUrl) -> String {
        url.0
    }
}

impl fmt::Display for WebUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_https_and_this_host_are_fetched_from() {
        for good in ["https://a.example", "https://a.example/x/?q=1", "http://localhost:80/x", "http://[::1]:8443"] {
            assert!(good.parse::<WebUrl>().is_ok(), "{good}");
        }
        for bad in [
            "http://a.example",
            "ftp://a.example",
            "file:///etc/passwd",
            "http://localhost.a.example",
            "http://127.0.0.2",
        ] {
            assert!(matches!(bad.parse::<WebUrl>(), Err(WebUrlError::Unsafe(_) | WebUrlError::Malformed(_))), "{bad}");
        }
        for bad in ["https://me:secret@a.example", "https://a.example/#x"] {
            assert!(matches!(bad.parse::<WebUrl>(), Err(WebUrlError::Superfluous(..))), "{bad}");
        }
        assert!(matches!("images".parse::<WebUrl>(), Err(WebUrlError::Malformed(_))));
    }

    #[test]
    fn a_path_stays_below_the_server_and_a_serial_s_colon_is_encoded() {
        let server: WebUrl = "https://a.example/mirror/".parse().expect("an address");
        let joined = server.join("images/debian/12/20241101_05:24/rootfs.tar.xz").expect("a plain path");
        assert_eq!(joined.as_str(), "https://a.example/mirror/images/debian/12/20241101_05%3A24/rootfs.tar.xz");
        for bad in [
            "",
            "/etc/passwd",
            "../x",
            "a/../b",
            "a/./b",
            "a//b",
            "a/",
            "https://b.example/x",
            "x:y",
            "a\\b",
            "a\nb",
            "a?b",
            "%2e%2e/x",
        ] {
            assert_eq!(server.join(bad), None, "{bad}");
        }
    }
}
