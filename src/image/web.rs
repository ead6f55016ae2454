//! Talking to web servers: HTTPS only, or HTTP to this host itself; every answer is limited.
//!
//! The rest of the room is synchronous, so a client brings its own runtime. It is used from threads that may block.

use std::error::Error;
use std::io;
use std::time::Duration;

use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_RANGE, RANGE};
use reqwest::redirect::{Attempt, Policy};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use tokio::runtime::{Builder, Runtime};

use super::pace::{Pace, Patience};
use super::registry::{Login, Wants, bearer};
use crate::model::{WebUrl, is_safe_to_fetch};

/// What fleet says it is. Image servers give other answers to what calls itself LXD.
const USER_AGENT: &str = concat!("fleet/", env!("CARGO_PKG_VERSION"));

/// How long a server may take to answer at all, and then to send the next bytes.
const CONNECTING: Duration = Duration::from_secs(10);
const SILENCE: Duration = Duration::from_secs(30);

/// Redirections that are followed for one file.
const MOST_REDIRECTS: usize = 5;

/// Why something could not be had from a server.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// No answer.
    #[error("cannot reach `{host}`: {why}")]
    Unreachable {
        /// The server.
        host: String,
        /// What the network said.
        why: String,
    },
    /// It was answered, then the answer broke off.
    #[error("cannot read `{url}` to its end: {why}")]
    BrokenOff {
        /// What was read.
        url: String,
        /// Why.
        why: String,
    },
    /// It comes, but too slowly to wait for it.
    #[error("cannot read `{url}` to its end: {why}")]
    TooSlow {
        /// What was read.
        url: String,
        /// How slowly.
        why: String,
    },
    /// The server does not have it, or does not give it.
    #[error("cannot fetch `{url}`: the server answers {status}")]
    Refused {
        /// What was asked for.
        url: String,
        /// The answer.
        status: u16,
    },
    /// It leads to a place that is not fetched from.
    #[error("cannot fetch `{url}`: the server redirects to `{to}`, and only https is safe")]
    UnsafeRedirect {
        /// What was asked for.
        url: String,
        /// To where.
        to: String,
    },
    /// It is longer than it may be.
    #[error("cannot accept `{url}`: it is longer than {limit} bytes")]
    TooLong {
        /// What was asked for.
        url: String,
        /// Bytes that it may have.
        limit: u64,
    },
    /// The means to talk to servers cannot be had.
    #[error("cannot set up the web client: {0}")]
    Client(String),
}

impl WebError {
    /// What the user can do.
    pub(super) fn hint(&self) -> Option<&'static str> {
        match self {
            WebError::Unreachable { .. } => {
                Some("check the network and the server's address; `fleet image ls` shows what this host has")
            }
            WebError::BrokenOff { .. } => Some("run the command again: it goes on where it broke off"),
            WebError::TooSlow { .. } => Some("run the command again later, or use another server"),
            WebError::Client(_) => Some("install the package ca-certificates"),
            WebError::Refused { .. } | WebError::UnsafeRedirect { .. } | WebError::TooLong { .. } => None,
        }
    }

    /// Whether another attempt may well succeed.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            WebError::BrokenOff { .. } | WebError::Unreachable { .. } | WebError::TooSlow { .. } => true,
            WebError::Refused { status, .. } => *status >= 500 || *status == 429,
            WebError::UnsafeRedirect { .. } | WebError::TooLong { .. } | WebError::Client(_) => false,
        }
    }
}

/// Fetches from web servers.
#[derive(Debug)]
pub(super) struct Web {
    runtime: Runtime,
    /// For other hosts, through the proxy that the environment names.
    client: Client,
    /// For this host, always without one.
    local: Client,
    /// The way into a repository, for what comes from a registry.
    login: Option<Login>,
    patience: Patience,
}

impl Web {
    /// A client with the certificates of this host.
    pub(super) fn new() -> Result<Web, WebError> {
        // One of the process; whoever was first has installed the same.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let failed = |error: &dyn Error| WebError::Client(causes(error));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(|error| failed(&error))?;
        let builder = || {
            Client::builder()
                .user_agent(USER_AGENT)
                .connect_timeout(CONNECTING)
                .read_timeout(SILENCE)
                .redirect(Policy::custom(follow))
        };
        let client = builder().build().map_err(|error| failed(&error))?;
        let local = builder().no_proxy().build().map_err(|error| failed(&error))?;
        Ok(Web { runtime, client, local, login: None, patience: Patience::ORDINARY })
    }

    /// The same, waiting otherwise.
    #[cfg(test)]
    pub(super) fn with_patience(self, patience: Patience) -> Web {
        Web { patience, ..self }
    }

    /// How it waits.
    pub(super) fn patience(&self) -> Patience {
        self.patience
    }

    /// The same for a registry, which is let in by `login`.
    pub(super) fn with_login(self, login: Login) -> Web {
        Web { login: Some(login), ..self }
    }

    /// The content of `url`, at most `limit` bytes.
    pub(super) fn read(&self, url: &WebUrl, limit: usize) -> Result<Vec<u8>, WebError> {
        self.runtime.block_on(self.patience.in_time(url, async {
            let mut response = self.ask(url, 0).await?;
            whole(&mut response, url, limit).await
        }))
    }

    /// Hands the content of `url` to `sink` piece by piece, from the byte `start` on if the server can do that. `begin`
    /// is told first at which byte it really begins, and the length of all if that is known.
    pub(super) fn stream<E: From<WebError>>(
        &self,
        url: &WebUrl,
        start: u64,
        mut begin: impl FnMut(u64, Option<u64>) -> Result<(), E>,
        mut sink: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.runtime.block_on(async {
            let mut response = self.patience.in_time(url, self.ask(url, start)).await?;
            let first = first_byte(&response);
            let rest = response.content_length();
            begin(first, rest.map(|rest| first.saturating_add(rest)))?;
            let mut pace = Pace::new(self.patience);
            while let Some(piece) = pace.keep(url, next(&mut response, url)).await? {
                pace.count(piece.len());
                sink(&piece)?;
            }
            Ok(())
        })
    }

    async fn ask(&self, url: &WebUrl, start: u64) -> Result<Response, WebError> {
        let mut response = self.send(url, start).await?;
        // The first time, and when a token has run out.
        if response.status() == StatusCode::UNAUTHORIZED && self.log_in(&response).await? {
            response = self.send(url, start).await?;
        }
        match response.status() {
            StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
            status => Err(WebError::Refused { url: url.to_string(), status: status.as_u16() }),
        }
    }
}

/// What a registry is asked for, for it may have a manifest in several forms; the one that says the most comes first.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json, */*";

/// The longest answer of a giver of tokens.
const LONGEST_TOKEN: usize = 1 << 20;

impl Web {
    async fn send(&self, url: &WebUrl, start: u64) -> Result<Response, WebError> {
        let accepted = if self.login.is_some() { MANIFESTS } else { "*/*" };
        let mut request = self.client_for(url).get(url.as_str()).header(ACCEPT, accepted);
        if start > 0 {
            request = request.header(RANGE, format!("bytes={start}-"));
        }
        // The client itself leaves it out where it is led to another host.
        if let Some(header) = self.login.as_ref().and_then(|login| login.header(url.host())) {
            request = request.header(AUTHORIZATION, header);
        }
        answer(request).await.map_err(|error| unanswered(url, &error))
    }

    /// Does what the registry wants that has refused with `response`; returns whether there is anything new to try.
    async fn log_in(&self, response: &Response) -> Result<bool, WebError> {
        // Whoever the registry leads to has nothing to want.
        let login = self.login.as_ref().filter(|login| login.is_for(response.url()));
        let wants = login.and_then(|login| Some((login, login.wanted(response.headers())?)));
        let header = match wants {
            None => return Ok(false),
            Some((login, Wants::Header(header))) => return Ok(login.remember(header)),
            Some((login, Wants::Token { url, header })) => {
                let mut request = self.client_for(&url).get(url.as_str());
                if let Some(header) = header {
                    request = request.header(AUTHORIZATION, header);
                }
                let mut answer = answer(request).await.map_err(|error| unanswered(&url, &error))?;
                if answer.status() != StatusCode::OK {
                    return Err(WebError::Refused { url: url.to_string(), status: answer.status().as_u16() });
                }
                let token = bearer(&whole(&mut answer, &url, LONGEST_TOKEN).await?);
                token.map(|token| login.remember(token))
            }
        };
        Ok(header.unwrap_or(false))
    }

    fn client_for(&self, url: &WebUrl) -> &Client {
        if url.is_local() { &self.local } else { &self.client }
    }
}

/// Sends `request`, and again if the connection is closed before there is an answer: the server may have given up one that
/// was kept in the moment when it was used again (RFC 9112 §9.3.1).
async fn answer(request: RequestBuilder) -> reqwest::Result<Response> {
    let again = request.try_clone();
    match (request.send().await, again) {
        (Err(error), Some(again)) if error.is_request() && !error.is_connect() && !error.is_timeout() => {
            again.send().await
        }
        (result, _) => result,
    }
}

async fn whole(response: &mut Response, url: &WebUrl, limit: usize) -> Result<Vec<u8>, WebError> {
    let mut content = Vec::new();
    while let Some(piece) = next(response, url).await? {
        if content.len() + piece.len() > limit {
            return Err(WebError::TooLong { url: url.to_string(), limit: limit as u64 });
        }
        content.extend_from_slice(&piece);
    }
    Ok(content)
}

/// The byte that the content of `response` begins with: of a part, what the server says (RFC 9110 §14.4).
fn first_byte(response: &Response) -> u64 {
    if response.status() != StatusCode::PARTIAL_CONTENT {
        return 0;
    }
    let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
    let first = range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok());
    // One that does not say fits nothing, and the caller begins anew.
    first.unwrap_or(u64::MAX)
}

async fn next(
    response: &mut Response,
    url: &WebUrl,
) -> Result<Option<impl AsRef<[u8]> + std::ops::Deref<Target = [u8]>>, WebError> {
    response.chunk().await.map_err(|error| WebError::BrokenOff { url: url.to_string(), why: causes(&error) })
}

/// From https to http never, were it to this host itself.
fn follow(attempt: Attempt<'_>) -> reqwest::redirect::Action {
    let was_safe = attempt.previous().iter().all(|url| url.scheme() == "https");
    let is_safe = is_safe_to_fetch(attempt.url()) && (attempt.url().scheme() == "https" || !was_safe);
    if !is_safe {
        let to = attempt.url().to_string();
        return attempt.error(Unsafe(to));
    }
    if attempt.previous().len() > MOST_REDIRECTS {
        return attempt.error(io::Error::other("it redirects too often"));
    }
    attempt.follow()
}

/// Carries the place through the client's own error.
#[derive(Debug, thiserror::Error)]
#[error("it leads to {0}")]
struct Unsafe(String);

fn unanswered(url: &WebUrl, error: &reqwest::Error) -> WebError {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(Unsafe(to)) = inner.downcast_ref() {
            return WebError::UnsafeRedirect { url: url.to_string(), to: to.clone() };
        }
        cause = inner.source();
    }
    WebError::Unreachable { host: url.host().to_owned(), why: causes(error) }
}

/// The innermost cause: the client's own words around it say nothing but that there was an error.
fn causes(error: &dyn Error) -> String {
    let mut innermost = error;
    while let Some(inner) = innermost.source() {
        innermost = inner;
    }
    innermost.to_string()
}
