//! The right to read a repository: a registry says who gives it, and that is asked for a token (the distribution project's
//! token authentication), as nobody or with what `docker login` and `skopeo login` keep.

use std::cell::RefCell;
use std::env;
use std::fs;
use std::path::PathBuf;

use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde_json::Value;

use crate::model::WebUrl;

/// The longest file of logins that is read.
const LONGEST_FILE: u64 = 1 << 20;

/// What is known of the way into one repository.
#[derive(Debug)]
pub(in crate::image) struct Login {
    host: String,
    repository: String,
    /// The header that the registry took last.
    header: RefCell<Option<String>>,
}

/// What a registry wants.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::image) enum Wants {
    /// A token from there, asked for with this header if that is given.
    Token { url: WebUrl, header: Option<String> },
    /// This header.
    Header(String),
}

/// What the giver of tokens says. Some say it in the one way, some in the other.
#[derive(Debug, Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Login {
    /// The way into `repository` of `server`.
    pub(super) fn new(server: &WebUrl, repository: &str) -> Login {
        Login { host: server.host().to_owned(), repository: repository.to_owned(), header: RefCell::new(None) }
    }

    /// The header to send to `host`, if it is the registry and there is one.
    pub(in crate::image) fn header(&self, host: &str) -> Option<String> {
        self.header.borrow().clone().filter(|_| host == self.host)
    }

    /// Whether `url` is on the registry itself.
    pub(in crate::image) fn is_for(&self, url: &url::Url) -> bool {
        url.as_str().parse().is_ok_and(|url: WebUrl| url.host() == self.host)
    }

    /// What the registry wants who answered with `headers`, if that can be had.
    pub(in crate::image) fn wanted(&self, headers: &HeaderMap) -> Option<Wants> {
        let challenges = headers.get_all("www-authenticate").iter().filter_map(|value| value.to_str().ok());
        let challenges: Vec<&str> = challenges.collect();
        let bearer = challenges.iter().find_map(|it| strip_scheme(it, "bearer"));
        if let Some(parameters) = bearer {
            return self.token_place(parameters).map(|url| Wants::Token { url, header: self.known() });
        }
        challenges.iter().find_map(|it| strip_scheme(it, "basic")).and_then(|_| self.known()).map(Wants::Header)
    }

    /// Where tokens are given. Nothing but to read this repository is asked for, whatever the registry proposes.
    fn token_place(&self, parameters: &str) -> Option<WebUrl> {
        let realm: WebUrl = parameter(parameters, "realm")?.parse().ok()?;
        let mut url = url::Url::parse(realm.as_str()).ok()?;
        if let Some(service) = parameter(parameters, "service") {
            url.query_pairs_mut().append_pair("service", &service);
        }
        url.query_pairs_mut().append_pair("scope", &format!("repository:{}:pull", self.repository));
        url.as_str().parse().ok()
    }

    /// Sends `header` from now on; returns whether that is another than before.
    pub(in crate::image) fn remember(&self, header: String) -> bool {
        let header = Some(header);
        self.header.replace(header.clone()) != header
    }

    /// The header of a kept login.
    fn known(&self) -> Option<String> {
        let files = login_files().into_iter();
        files.filter(|path| fs::metadata(path).is_ok_and(|it| it.is_file() && it.len() <= LONGEST_FILE)).find_map(
            |path| {
                let document: Value = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
                kept(&document, &self.host, &self.repository).map(|secret| format!("Basic {secret}"))
            },
        )
    }
}

/// The header that the giver of tokens has given with `answer`.
pub(in crate::image) fn bearer(answer: &[u8]) -> Option<String> {
    let token: Token = serde_json::from_slice(answer).ok()?;
    token.token.or(token.access_token).map(|token| format!("Bearer {token}"))
}

/// containers-auth.json(5), and the configuration of docker.
fn login_files() -> Vec<PathBuf> {
    let var = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(only) = var("REGISTRY_AUTH_FILE") {
        return vec![only];
    }
    let home = var("HOME").unwrap_or_else(|| PathBuf::from("/root"));
    let config = var("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config"));
    let run = var("XDG_RUNTIME_DIR").map(|run| run.join("containers/auth.json"));
    let docker = var("DOCKER_CONFIG").unwrap_or_else(|| home.join(".docker"));
    run.into_iter().chain([config.join("containers/auth.json"), docker.join("config.json")]).collect()
}

/// What `document` keeps for `repository` of `host`, user and password in base64: the longest name that fits counts.
fn kept<'d>(document: &'d Value, host: &str, repository: &str) -> Option<&'d str> {
    let hosts: &[&str] = match host {
        "registry-1.docker.io" => &["docker.io", "index.docker.io", host],
        _ => &[host],
    };
    let mut below = format!("/{repository}");
    let logins = document.get("auths")?.as_object()?;
    let name = |key: &str| {
        let key = key.trim_start_matches("https://").trim_start_matches("http://").trim_end_matches('/').to_owned();
        key.strip_suffix("/v1").or_else(|| key.strip_suffix("/v2")).unwrap_or(&key).to_owned()
    };
    loop {
        let fits = |key: &str| hosts.iter().any(|host| name(key) == format!("{host}{below}"));
        let found = logins.iter().find(|(key, _)| fits(key)).and_then(|(_, login)| login.get("auth")?.as_str());
        if let Some(found) = found.filter(|found| !found.is_empty()) {
            return Some(found);
        }
        let shorter = below.rfind('/')?;
        below.truncate(shorter);
    }
}

/// The parameters of `challenge` if it is of `scheme` (RFC 9110 §11.6.1).
fn strip_scheme<'c>(challenge: &'c str, scheme: &str) -> Option<&'c str> {
    let (found, parameters) = challenge.split_once(' ').unwrap_or((challenge, ""));
    found.eq_ignore_ascii_case(scheme).then_some(parameters)
}

/// The parameter `name` of a challenge, quoted or not.
fn parameter(parameters: &str, name: &str) -> Option<String> {
    let mut rest = parameters;
    while let Some((key, behind)) = rest.split_once('=') {
        let (value, next) = match behind.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => behind.split_once(',').unwrap_or((behind, "")),
        };
        if key.trim_matches([' ', ',']).eq_ignore_ascii_case(name) {
            return Some(value.trim().to_owned());
        }
        rest = next;
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_challenge_says_where_tokens_are_given() {
        let login = Login::new(&"https://reg.example".parse().expect("an address"), "a/b");
        let place = |parameters: &str| login.token_place(parameters).map(|url| url.to_string());
        let ours = "scope=repository%3Aa%2Fb%3Apull";
        assert_eq!(
            place(r#"realm="https://auth.example/token?x=1",service="reg,istry",scope="repository:a/b:pull,push""#),
            Some(format!("https://auth.example/token?x=1&service=reg%2Cistry&{ours}"))
        );
        assert_eq!(
            place("realm=https://auth.example/t, service=x").as_deref(),
            Some(&*format!("https://auth.example/t?service=x&{ours}"))
        );
        for bad in
            ["", "service=x", r#"realm="http://auth.example/token""#, r#"realm="https://auth"#, r#"realm="file:///x""#]
        {
            assert_eq!(place(bad), None, "{bad}");
        }
        assert_eq!(bearer(br#"{"access_token": "x"}"#).as_deref(), Some("Bearer x"));
        assert_eq!(bearer(b"<html>"), None);
    }

    #[test]
    fn a_kept_login_is_found_by_its_longest_name() {
        let document = json!({"auths": {
            "reg.example": {"auth": "all"}, "reg.example/a": {"auth": "some"}, "https://index.docker.io/v1/": {"auth": "hub"},
            "empty.example": {}, "reg.example/x": {"auth": ""},
        }});
        let found = |host: &str, repository: &str| kept(&document, host, repository);
        assert_eq!(found("reg.example", "a/b"), Some("some"));
        assert_eq!(found("reg.example", "ab"), Some("all"));
        assert_eq!(found("reg.example", "x"), Some("all"));
        assert_eq!(found("registry-1.docker.io", "library/debian"), Some("hub"));
        assert_eq!(found("empty.example", "a"), None);
        assert_eq!(found("reg.example.evil", "a"), None);
    }
}
