//! `${VAR}` and `${VAR:-default}` in the values of a fleet file, from the environment.

use super::findings::{Complaint, Findings};
use super::node::{Node, Value};

/// The environment's variables by name.
pub(super) type Environment<'a> = dyn Fn(&str) -> Option<String> + 'a;

/// Fills in the variables of every value below `node`; keys are left alone. A value that cannot be filled in becomes
/// [`Value::Broken`].
pub(super) fn fill_in(node: &mut Node, environment: &Environment<'_>, findings: &mut Findings) {
    match &mut node.value {
        Value::Scalar(text) if text.contains('$') => match expand(text, environment) {
            Ok(expanded) => *text = expanded,
            Err(complaint) => {
                findings.add(node.span, complaint);
                node.value = Value::Broken;
            }
        },
        Value::List(items) => items.iter_mut().for_each(|item| fill_in(item, environment, findings)),
        Value::Mapping(entries) => entries.iter_mut().for_each(|entry| fill_in(&mut entry.node, environment, findings)),
        Value::Scalar(_) | Value::Empty | Value::Broken => {}
    }
}

/// So deep may defaults stand in each other.
const DEEPEST: u32 = 16;

/// `text` with its variables filled in. `$$` is a dollar; so is a `$` before anything but `{`.
fn expand(text: &str, environment: &Environment<'_>) -> Result<String, Complaint> {
    expand_default(text, environment, 0)
}

/// The same of a default within `depth` others.
fn expand_default(text: &str, environment: &Environment<'_>, depth: u32) -> Result<String, Complaint> {
    if depth > DEEPEST {
        return Err(Complaint::new(format!("more than {DEEPEST} defaults stand in each other")));
    }
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        expanded.push_str(before);
        if let Some(inner) = after.strip_prefix('{') {
            let (reference, after) = to_the_brace(inner).ok_or_else(|| {
                Complaint::new(format!("`${{{inner}` has no `}}`")).hint("write `$$` for a dollar sign")
            })?;
            expanded.push_str(&value_of(reference, environment, depth)?);
            rest = after;
        } else {
            expanded.push('$');
            rest = after.strip_prefix('$').unwrap_or(after);
        }
    }
    expanded.push_str(rest);
    Ok(expanded)
}

/// `text` before the `}` that ends a variable, and after it: a default may have variables of its own.
fn to_the_brace(text: &str) -> Option<(&str, &str)> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' if text[..at].ends_with('$') && !text[..at].ends_with("$$") => depth += 1,
            b'}' if depth == 0 => return Some((&text[..at], &text[at + 1..])),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// The value of what stands between the braces. As in a shell, the default serves for an empty variable too, and only then
/// has to be one.
fn value_of(reference: &str, environment: &Environment<'_>, depth: u32) -> Result<String, Complaint> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    if !is_variable_name(name) {
        let hint = "write `${VAR}` or `${VAR:-default}`, and `$$` for a dollar sign";
        return Err(Complaint::new(format!("`{name}` is not the name of a variable")).hint(hint));
    }
    match (environment(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => expand_default(default, environment, depth + 1),
        (None, None) => Err(Complaint::new(format!("the environment has no variable `{name}`"))
            .hint(format!("set it, or write `${{{name}:-default}}`"))),
    }
}

fn is_variable_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(text: &str) -> Result<String, String> {
        let environment = |name: &str| match name {
            "SIZE" => Some("1GiB".to_owned()),
            "EMPTY" => Some(String::new()),
            _ => None,
        };
        expand(text, &environment).map_err(|complaint| complaint.message)
    }

    #[test]
    fn variables_and_their_defaults_are_filled_in() {
        assert_eq!(expanded("a ${SIZE} b ${SIZE:-x} ${NONE:-2G}${NONE:-}"), Ok("a 1GiB b 1GiB 2G".to_owned()));
        assert_eq!(expanded("[${EMPTY}] [${EMPTY:-x}]"), Ok("[] [x]".to_owned()));
    }

    #[test]
    fn a_default_may_have_variables_of_its_own() {
        assert_eq!(expanded("${NONE:-${SIZE}}, ${NONE:-a${EMPTY:-b}c}d"), Ok("1GiB, abcd".to_owned()));
        assert_eq!(expanded("${SIZE:-${NONE}}!"), Ok("1GiB!".to_owned()));
        let deep = format!("{}x{}", "${NONE:-".repeat(99_999), "}".repeat(99_999));
        assert_eq!(expanded(&deep), Err("more than 16 defaults stand in each other".to_owned()));
        assert_eq!(expanded("${NONE:-$${x}}"), Ok("${x}".to_owned()));
        assert_eq!(expanded("${NONE:-${OTHER}}"), Err("the environment has no variable `OTHER`".to_owned()));
        assert_eq!(expanded("${NONE:-${SIZE}"), Err("`${NONE:-${SIZE}` has no `}`".to_owned()));
    }

    #[test]
    fn a_dollar_that_begins_no_variable_is_a_dollar() {
        assert_eq!(expanded("$$ $${SIZE} a$b 5$"), Ok("$ ${SIZE} a$b 5$".to_owned()));
    }

    #[test]
    fn what_cannot_be_filled_in_is_said() {
        assert_eq!(expanded("${NONE}"), Err("the environment has no variable `NONE`".to_owned()));
        assert_eq!(expanded("x ${SIZE"), Err("`${SIZE` has no `}`".to_owned()));
        assert_eq!(expanded("${}"), Err("`` is not the name of a variable".to_owned()));
        assert_eq!(expanded("${SIZE-x}"), Err("`SIZE-x` is not the name of a variable".to_owned()));
    }
}
