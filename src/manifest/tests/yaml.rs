//! Texts to trees.

use std::fmt::Write;

use super::super::node::{Node, Span, Value};
use super::super::yaml::parse;

/// The tree of `text`, each key and value with the piece of the text that it was read from.
fn draw(text: &str) -> String {
    let mut out = String::new();
    match parse(text) {
        Ok(node) => tree(text, &node, &mut out, 0).expect("writing to a string cannot fail"),
        Err(error) => {
            let line = text[..error.span.start].matches('\n').count() + 1;
            let hint = error.value.hint.map(|hint| format!(" ({hint})")).unwrap_or_default();
            out = format!("line {line}: {}{hint}", error.value.message);
        }
    }
    out.trim().to_owned()
}

fn tree(text: &str, node: &Node, out: &mut String, indent: usize) -> std::fmt::Result {
    let at = |span: Span| format!("[{:?}]", &text[span.start..span.start + span.length]);
    match &node.value {
        Value::Empty => writeln!(out, " empty {}", at(node.span)),
        Value::Scalar(value) => writeln!(out, " {value:?} {}", at(node.span)),
        Value::Broken => writeln!(out, " broken"),
        Value::List(items) => {
            writeln!(out)?;
            items.iter().try_for_each(|item| {
                write!(out, "{:indent$}-", "")?;
                tree(text, item, out, indent + 2)
            })
        }
        Value::Mapping(entries) => {
            writeln!(out)?;
            entries.iter().try_for_each(|entry| {
                write!(out, "{:indent$}{} {}:", "", entry.key.value, at(entry.key.span))?;
                tree(text, &entry.node, out, indent + 2)
            })
        }
    }
}

#[test]
fn values_keep_their_text_and_their_place() {
    insta::assert_snapshot!(draw("a: 0755\nb: \"x\\ty\"\nc: no\nd: ~\ne:\nf: 1.50\ng: 'true'\nh: |\n  ä\n  two\ni: .inf\nj: -1\nk: 99999999999999999999999999999999999999999999\n"), @r#"
    a ["a"]: "0755" ["0755"]
    b ["b"]: "x\ty" ["\"x\\ty\""]
    c ["c"]: "no" ["no"]
    d ["d"]: empty ["~"]
    e ["e"]: empty [""]
    f ["f"]: "1.50" ["1.50"]
    g ["g"]: "true" ["'true'"]
    h ["h"]: "ä\ntwo\n" ["ä\n  two\n"]
    i ["i"]: ".inf" [".inf"]
    j ["j"]: "-1" ["-1"]
    k ["k"]: "99999999999999999999999999999999999999999999" ["99999999999999999999999999999999999999999999"]
    "#);
}

#[test]
fn anchors_aliases_and_merge_keys_are_expanded_with_the_place_of_the_definition() {
    insta::assert_snapshot!(draw("base: &base {memory: 1G, pids: 5}\nä: {<<: *base, memory: 2G}\nb: *base\nc: {<<: [*base, {x: 1}]}\n"), @r#"
    base ["base"]:
      memory ["memory"]: "1G" ["1G"]
      pids ["pids"]: "5" ["5"]
    ä ["ä"]:
      memory ["memory"]: "2G" ["2G"]
      pids ["pids"]: "5" ["5"]
    b ["b"]:
      memory ["memory"]: "1G" ["1G"]
      pids ["pids"]: "5" ["5"]
    c ["c"]:
      memory ["memory"]: "1G" ["1G"]
      pids ["pids"]: "5" ["5"]
      x ["x"]: "1" ["1"]
    "#);
}

#[test]
fn a_key_given_twice_is_there_twice() {
    insta::assert_snapshot!(draw("a: 1\na: 2\n"), @r#"
    a ["a"]: "1" ["1"]
    a ["a"]: "2" ["2"]
    "#);
}

#[test]
fn odd_keys_are_kept_as_text() {
    insta::assert_snapshot!(draw("1: a\n~: b\n[x]: c\n? {y: z}\n: d\n"), @r#"
    1 ["1"]: "a" ["a"]
    ~ ["~"]: "b" ["b"]
    [ ["["]: "c" ["c"]
    { ["{"]: "d" ["d"]
    "#);
}

#[test]
fn what_is_not_yaml_is_refused_with_its_place() {
    insta::assert_snapshot!(draw(""), @r#"empty [""]"#);
    insta::assert_snapshot!(draw("# only a comment\n"), @r#"empty [""]"#);
    insta::assert_snapshot!(draw("a: 1\n---\nb: 2\n"), @"line 3: a fleet file has one YAML document (put each fleet into a file of its own)");
    insta::assert_snapshot!(draw("a: 1\nb: [1, 2\n"), @"line 2: this is not YAML: unclosed bracket '['");
    insta::assert_snapshot!(draw("a:\n\tb: 1\n"), @"line 2: this is not YAML: tabs disallowed within this context (block indentation)");
    insta::assert_snapshot!(draw("a: *nowhere\n"), @"line 1: this is not YAML: reference to unknown value");
    insta::assert_snapshot!(draw("a: &a [*a]\n"), @"line 1: this is not YAML: recursive reference not allowed here");
    insta::assert_snapshot!(draw("a: b: c\n"), @"line 1: this is not YAML: mapping values are not allowed in this context");
    insta::assert_snapshot!(draw("a: \"x\n"), @"line 1: this is not YAML: unclosed quote");
}

#[test]
fn bombs_are_refused() {
    insta::assert_snapshot!(draw(&"[".repeat(20_000)), @"line 1: more than 32 levels of nesting");
    insta::assert_snapshot!(draw(&(0..200).map(|n| format!("{}a:\n", " ".repeat(n))).collect::<Vec<_>>().concat()), @"line 33: more than 32 levels of nesting");
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let below = format!("*a{}, ", level - 1).repeat(9);
        writeln!(bomb, "a{level}: &a{level} [{below}]").expect("writing to a string cannot fail");
    }
    insta::assert_snapshot!(draw(&bomb), @"line 6: more than 500000 values, counting what aliases stand for (split the fleet)");
}
