//! Which containers a verb works on.

use globset::{Glob, GlobMatcher};

use super::error::CliError;
use super::files::load_fleet;
use super::global::Session;
use crate::model::ContainerName;

/// A choice among containers by name and pattern.
#[derive(Debug)]
pub(super) struct Selection {
    /// Any of these; none means all.
    names: Vec<Pattern>,
    /// And any of these; none means all.
    only: Vec<Pattern>,
}

#[derive(Debug)]
struct Pattern {
    text: String,
    matcher: GlobMatcher,
}

impl Selection {
    /// The containers that match one of `names`, and one of `--only` if that is given.
    pub(super) fn new(session: &Session, names: &[String]) -> Result<Selection, CliError> {
        Ok(Selection { names: patterns(names)?, only: patterns(&session.only)? })
    }

    /// Whether `name` is chosen.
    pub(super) fn chooses(&self, name: &str) -> bool {
        any(&self.names, name) && any(&self.only, name)
    }

    /// A pattern that chooses none of `candidates` is an error: it was written for a reason.
    pub(super) fn check(&self, candidates: &[&str]) -> Result<(), CliError> {
        for pattern in self.names.iter().chain(&self.only) {
            if !candidates.iter().any(|name| pattern.matches(name)) {
                return Err(nothing_matches(pattern, candidates));
            }
        }
        Ok(())
    }

    /// Those of `candidates` that are chosen, in their order; every pattern chooses some.
    pub(super) fn of<'a>(&self, candidates: &[&'a ContainerName]) -> Result<Vec<&'a ContainerName>, CliError> {
        self.check(&candidates.iter().map(|name| name.as_str()).collect::<Vec<_>>())?;
        Ok(candidates.iter().filter(|name| self.chooses(name.as_str())).copied().collect())
    }
}

/// Whether every one of `names` is one container's, so that no fleet file is needed; with `all` none is.
pub(super) fn is_plain(session: &Session, names: &[String], all: bool) -> bool {
    session.only.is_empty() && !all && !names.is_empty() && !names.iter().any(|name| is_pattern(name))
}

/// The containers that `names` and `--only` choose: as they are written where that is plain, else those of the fleet
/// file, with `all` or without names all of them. `usage` is how the verb is written.
pub(super) fn chosen(
    session: &Session,
    names: &[String],
    all: bool,
    usage: &str,
) -> Result<Vec<ContainerName>, CliError> {
    if is_plain(session, names, all) {
        return names.iter().map(|name| parse_name(name, usage)).collect();
    }
    let selection = Selection::new(session, names)?;
    let fleet = load_fleet(session)?;
    let candidates: Vec<&ContainerName> = fleet.containers.iter().map(|spec| &spec.name).collect();
    Ok(selection.of(&candidates)?.into_iter().cloned().collect())
}

/// The container that `name` names; `usage` is how the verb is written.
pub(super) fn parse_name(name: &str, usage: &str) -> Result<ContainerName, CliError> {
    name.parse().map_err(|error| CliError::usage(format!("`{name}`: {error}"), usage))
}

/// Whether `text` may stand for more than one name.
fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

impl Pattern {
    fn matches(&self, name: &str) -> bool {
        self.matcher.is_match(name)
    }
}

fn any(patterns: &[Pattern], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| pattern.matches(name))
}

fn patterns(texts: &[String]) -> Result<Vec<Pattern>, CliError> {
    let compile = |text: &String| match Glob::new(text) {
        Ok(glob) => Ok(Pattern { text: text.clone(), matcher: glob.compile_matcher() }),
        Err(error) => Err(CliError::usage(error.to_string(), "write names or patterns such as `agent-*`")),
    };
    texts.iter().map(compile).collect()
}

fn nothing_matches(pattern: &Pattern, candidates: &[&str]) -> CliError {
    let likeness = |name: &&&str| strsim::damerau_levenshtein(name, &pattern.text);
    let likely = candidates.iter().min_by_key(likeness).filter(|name| likeness(name) <= 3);
    let hint = match likely {
        Some(name) => format!("did you mean `{name}`?"),
        None => "`fleet status` lists the fleet's containers".to_owned(),
    };
    CliError::usage(format!("no container matches `{}`", pattern.text), hint)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selected(names: &[&str], only: &[&str], candidates: &[&str]) -> Result<Vec<String>, String> {
        let own = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let compiled = |texts: &[&str]| patterns(&own(texts)).expect("right patterns");
        let selection = Selection { names: compiled(names), only: compiled(only) };
        let candidates: Vec<ContainerName> = candidates.iter().map(|name| name.parse().expect("a name")).collect();
        match selection.of(&candidates.iter().collect::<Vec<_>>()) {
            Ok(names) => Ok(names.iter().map(ToString::to_string).collect()),
            Err(CliError::Usage(failure)) => Err(format!("{}; {}", failure.chain[0], failure.hint.unwrap_or_default())),
            Err(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn names_and_only_both_narrow_the_choice() {
        let fleet = ["agent-1", "agent-2", "db"];
        assert_eq!(selected(&[], &[], &fleet), Ok(vec!["agent-1".into(), "agent-2".into(), "db".into()]));
        assert_eq!(selected(&["db", "agent-2"], &[], &fleet), Ok(vec!["agent-2".into(), "db".into()]));
        assert_eq!(selected(&["agent-*"], &["*-1"], &fleet), Ok(vec!["agent-1".into()]));
    }

    #[test]
    fn a_name_that_nothing_has_is_an_error_with_the_likely_one() {
        assert_eq!(
            selected(&["agnet-1"], &[], &["agent-1", "db"]),
            Err("no container matches `agnet-1`; did you mean `agent-1`?".into())
        );
        assert_eq!(
            selected(&["*z"], &[], &[]),
            Err("no container matches `*z`; `fleet status` lists the fleet's containers".into())
        );
    }
}
