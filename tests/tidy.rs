//! The house plan, checked: which room may use which, where `unsafe` and printing live, and how files look.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};

/// What each room may use besides itself.
const ROOMS: [(&str, &[&str]); 14] = [
    ("model", &[]),
    ("sys", &[]),
    ("template", &[]),
    ("plan", &["model"]),
    ("store", &["model"]),
    ("network", &["model", "sys"]),
    ("image", &["model", "store", "sys"]),
    ("guest", &["model", "template", "sys"]),
    ("manifest", &["model", "guest"]),
    ("report", &["model", "manifest"]),
    ("engine", &["model", "sys", "store", "network"]),
    ("observe", &["model", "engine", "image", "network", "store"]),
    ("converge", &["model", "engine", "image", "network", "guest", "store"]),
    (
        "cli",
        &[
            "model", "sys", "template", "manifest", "plan", "store", "report", "network", "image", "guest", "engine",
            "observe", "converge",
        ],
    ),
];

/// Names that say nothing of what is inside.
const EMPTY_NAMES: [&str; 6] = ["util", "utils", "common", "helpers", "core", "misc"];

/// A file longer than this holds a second subject.
const LONGEST_FILE: usize = 450;

const PRINTING: [&str; 5] = ["print", "println", "eprint", "eprintln", "dbg"];

#[test]
fn the_house_is_tidy() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&source, &mut files);
    files.sort();
    let mut violations = String::new();
    for file in &files {
        let text = fs::read_to_string(file).expect("a source file can be read");
        let inside = file.strip_prefix(&source).expect("it was found there");
        for (line, message) in check(inside, &text) {
            let _ = writeln!(violations, "src/{}:{line}: {message}", inside.display());
        }
    }
    assert!(files.len() > ROOMS.len(), "the source was not found");
    assert!(violations.is_empty(), "\n{violations}");
}

fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a source directory can be read") {
        let path = entry.expect("a directory entry can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// What is wrong with the file `path` of `src/`: line and message.
fn check(path: &Path, text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    if !text.starts_with("//!") {
        found.push((1, "its first line is not `//!`".to_owned()));
    }
    if text.lines().count() > LONGEST_FILE {
        found.push((LONGEST_FILE + 1, format!("it has more than {LONGEST_FILE} lines")));
    }
    for part in path.with_extension("").iter().filter_map(|part| part.to_str()) {
        if EMPTY_NAMES.contains(&part) {
            found.push((1, format!("`{part}` does not say what is inside")));
        }
    }
    let room = path.parent().and_then(|parent| parent.iter().next()).and_then(|room| room.to_str());
    let may_print = matches!(room, Some("report" | "cli")) || path == Path::new("main.rs");
    let words = Words::of(text);
    for (place, (word, line)) in words.0.iter().enumerate() {
        if word == "unsafe" && room != Some("sys") {
            found.push((*line, "`unsafe` outside sys".to_owned()));
        }
        if !may_print && PRINTING.contains(&word.as_str()) && words.at(place + 1) == "!" {
            found.push((*line, format!("`{word}!` outside report and cli")));
        }
    }
    if let Some(room) = room {
        match ROOMS.iter().find(|(name, _)| *name == room) {
            None => found.push((1, format!("the room `{room}` is not in the table of tests/tidy.rs"))),
            Some((_, granted)) => {
                for (used, line) in words.rooms_used() {
                    if used != room && !granted.contains(&used) {
                        found.push((line, format!("`{room}` may not use `crate::{used}`")));
                    }
                }
            }
        }
    }
    found.sort();
    found
}

/// The words and signs of a source text, with their lines; comments are left out, literals stand for themselves.
struct Words(Vec<(String, usize)>);

impl Words {
    fn of(text: &str) -> Words {
        let stream: TokenStream = text.parse().expect("the source is Rust");
        let mut words = Words(Vec::new());
        words.add(stream);
        words
    }

    fn add(&mut self, stream: TokenStream) {
        for tree in stream {
            let line = tree.span().start().line;
            match tree {
                TokenTree::Group(group) => {
                    self.0.push(("{".to_owned(), line));
                    self.add(group.stream());
                    self.0.push(("}".to_owned(), line));
                }
                other => self.0.push((other.to_string(), line)),
            }
        }
    }

    fn at(&self, place: usize) -> &str {
        self.0.get(place).map_or("", |(word, _)| word)
    }

    /// What follows each `crate::`, with its line: one name, or the first name of each path in braces.
    fn rooms_used(&self) -> Vec<(&str, usize)> {
        let mut used = Vec::new();
        for place in 0..self.0.len() {
            if [self.at(place), self.at(place + 1), self.at(place + 2)] != ["crate", ":", ":"] {
                continue;
            }
            let mut depth = 0;
            for inner in place + 3.. {
                match self.at(inner) {
                    "{" => depth += 1,
                    "}" | "" => depth -= 1,
                    name if depth == 0 || depth == 1 && matches!(self.at(inner - 1), "{" | ",") => {
                        used.push((name, self.0[inner].1));
                    }
                    _ => {}
                }
                if depth <= 0 {
                    break;
                }
            }
        }
        used
    }
}

#[test]
fn every_violation_is_found_with_its_line() {
    let text =
        "use crate::model::Plan;\nuse crate::{engine::Engine, sys};\nfn f() { println!(\"x\"); unsafe { g() } }\n";
    let drawn =
        check(Path::new("plan/util/x.rs"), text).into_iter().fold(String::new(), |mut drawn, (line, message)| {
            let _ = writeln!(drawn, "{line}: {message}");
            drawn
        });
    insta::assert_snapshot!(drawn, @"
    1: `util` does not say what is inside
    1: its first line is not `//!`
    2: `plan` may not use `crate::engine`
    2: `plan` may not use `crate::sys`
    3: `println!` outside report and cli
    3: `unsafe` outside sys
    ");
}

#[test]
fn comments_and_literals_are_no_code() {
    let text =
        "//! crate::engine unsafe\n/* unsafe\n*/ fn f<'a>(c: char) { g('\"', \"unsafe crate::sys\", r#\"dbg!\"#) }";
    assert_eq!(check(Path::new("plan/x.rs"), text), vec![]);
}

#[test]
fn a_room_may_use_only_rooms_that_exist() {
    for used in ROOMS.iter().flat_map(|(_, granted)| granted.iter()) {
        assert!(ROOMS.iter().any(|(room, _)| room == used), "{used}");
    }
}
