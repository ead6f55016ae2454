//! Any system call, made inside a guest by a small program.
#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::fs;
use std::path::PathBuf;

use super::world::{World, host};

/// The program `call.c`, compiled.
pub(crate) struct Caller {
    program: PathBuf,
}

impl Caller {
    pub(crate) fn new(world: &World) -> Caller {
        let (source, program) = (world.dir.path().join("call.c"), world.dir.path().join("call"));
        fs::write(&source, include_str!("call.c")).expect("written");
        host("cc", &["-static", "-o", &program.display().to_string(), &source.display().to_string()]);
        Caller { program }
    }

    /// Puts it into the container `name`, as `/call`.
    pub(crate) fn put(&self, world: &World, name: &str) {
        world.fleet(&["cp", &self.program.display().to_string(), &format!("{name}:/call")]).expect(0);
    }

    /// What a call comes to on the host.
    #[track_caller]
    pub(crate) fn outside(&self, words: &str) -> i64 {
        let words: Vec<&str> = words.split(' ').collect();
        result(&host(&self.program.display().to_string(), &words))
    }
}

/// What the call that `words` say comes to in the container `name`, into which the program was put.
#[track_caller]
pub(crate) fn inside(world: &World, name: &str, words: &str) -> i64 {
    result(&world.sh(name, &format!("exec /call {words}")))
}

/// The number that the program printed.
pub(crate) fn result(printed: &str) -> i64 {
    printed.trim().parse().unwrap_or_else(|_| panic!("no number: {printed}"))
}
