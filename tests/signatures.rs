//! Image servers whose word must be signed: by gpg(1) as a person signs it, verified, and refused when it is tampered with.

mod mirror;
mod world;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use mirror::{Forms, Server, Tree};
use world::{World, names_in};

/// A person with a key.
struct Signer {
    dir: tempfile::TempDir,
}

impl Signer {
    fn new() -> Signer {
        let signer =
            Signer { dir: tempfile::Builder::new().prefix("fleet-gpg-").tempdir_in("/var/tmp").expect("made") };
        signer.gpg(&["--passphrase", "", "--quick-gen-key", "test@example.org", "ed25519", "sign", "never"]);
        signer
    }

    fn gpg(&self, args: &[&str]) {
        let mut command = Command::new("gpg");
        command.args(["--batch", "--yes", "--quiet", "--homedir"]).arg(self.dir.path()).args(args);
        let output = command.output().expect("package gpg");
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn export(&self, to: &Path, options: &[&str]) {
        self.gpg(&[&["-o", to.to_str().expect("text")], options, &["--export"]].concat());
    }

    /// Signs index and products of `tree` in the given form.
    fn sign(&self, tree: &Tree, form: Form) {
        for name in ["index", "images"] {
            let path = |end: &str| tree.path().join(format!("streams/v1/{name}.{end}")).display().to_string();
            match form {
                Form::Clear => self.gpg(&["--clearsign", "-o", &path("sjson"), &path("json")]),
                Form::Detached => self.gpg(&["--armor", "--detach-sign", "-o", &path("json.gpg"), &path("json")]),
            }
        }
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        let _ = Command::new("gpgconf").arg("--homedir").arg(self.dir.path()).args(["--kill", "all"]).output();
    }
}

#[derive(Clone, Copy)]
enum Form {
    Clear,
    Detached,
}

fn fleet(server: &Server, subnet: u8) -> String {
    format!(
        "fleet: signed\nnetwork: {{subnet: 10.211.{subnet}.0/24}}\nremotes: {{corp: {{url: '{}', key: key.gpg}}}}\n\
         containers: {{ss: {{distro: 'corp:test/1'}}}}\n",
        server.url()
    )
}

fn signed(tree: &Tree, name: &str) -> PathBuf {
    tree.path().join("streams/v1").join(name)
}

#[test]
fn what_is_signed_by_the_key_is_used_in_either_form() {
    let (tree, signer) = (Tree::with_build(Forms::Both), Signer::new());
    let server = Server::new(&tree.path());
    let world = World::new();
    world.write(&fleet(&server, 131));
    signer.sign(&tree, Form::Clear);
    signer.export(&world.dir.path().join("key.gpg"), &[]);
    server.requests();
    world.fleet(&["apply", "-y"]).expect(0);
    // What is not signed is not even asked for.
    assert_eq!(server.requests()[..2], ["streams/v1/index.sjson", "streams/v1/images.sjson"]);
    assert_eq!(world.sh("ss", "cat /etc/build"), "1\n");
    world.destroy();
    for name in ["index.sjson", "images.sjson"] {
        fs::remove_file(signed(&tree, name)).expect("removed");
    }
    signer.sign(&tree, Form::Detached);
    signer.export(&world.dir.path().join("key.gpg"), &["--armor"]);
    world.fleet(&["outdated"]).expect(0);
    assert!(world.fleet(&["outdated"]).expect(0).stdout.contains("is the newest"));
}

#[test]
fn what_was_stored_without_a_signature_is_not_used_where_a_key_is_named() {
    let (tree, signer) = (Tree::with_build(Forms::Both), Signer::new());
    let server = Server::new(&tree.path());
    let world = World::new();
    let with_key = fleet(&server, 133);
    world.write(&with_key.replace(", key: key.gpg", "")).fleet(&["image", "pull"]).expect(0);
    let key = world.dir.path().join("key.gpg");
    signer.export(&key, &[]);
    world.write(&with_key);
    let lock = world.dir.path().join("fleet.lock");
    let refused = world.fleet(&["apply", "-y"]).expect(1).stderr;
    assert!(refused.contains("the server has no signature of it") && !lock.exists(), "{refused}");

    // Verified now, it is what the store has, and that is told of it from then on.
    signer.sign(&tree, Form::Clear);
    server.requests();
    world.fleet(&["apply", "-y"]).expect(0);
    assert_eq!(server.requests(), ["streams/v1/index.sjson", "streams/v1/images.sjson"]);
    assert_eq!(world.sh("ss", "cat /etc/build"), "1\n");
    assert!(!fs::read_to_string(&lock).expect("it is written").contains("signed_by"));
    fs::remove_file(&lock).expect("removed");
    assert_eq!(world.changes(), 0);
    world.destroy();
    world.fleet(&["apply", "-y"]).expect(0);
    assert_eq!(server.requests(), [""; 0]);
    world.destroy();
    fs::remove_file(&lock).expect("removed");

    // By somebody else it is not.
    Signer::new().export(&key, &[]);
    let refused = world.fleet(&["apply", "-y"]).expect(1).stderr;
    assert!(refused.contains("it has no good signature by"), "{refused}");
}

#[test]
fn what_is_tampered_with_or_signed_by_somebody_else_is_not_used() {
    let (tree, signer) = (Tree::with_build(Forms::Both), Signer::new());
    let server = Server::new(&tree.path());
    let world = World::new();
    world.write(&fleet(&server, 132));
    let key = world.dir.path().join("key.gpg");
    signer.export(&key, &[]);
    let refused = || {
        let failed = world.fleet(&["apply", "-y"]).expect(1).stderr.replace(&server.url(), "SERVER");
        assert_eq!(names_in(&world.root().join("fleet/images")), Vec::<String>::new(), "nothing of it is used");
        failed.replace(&key.display().to_string(), "KEY").lines().next().unwrap_or_default().to_owned()
    };
    let mut seen = vec![refused()];
    let change = |name: &str, from: &str, to: &str| {
        let text = fs::read_to_string(signed(&tree, name)).expect("readable");
        assert!(text.contains(from), "{text}");
        fs::write(signed(&tree, name), text.replacen(from, to, 1)).expect("written");
    };
    signer.sign(&tree, Form::Clear);
    change("images.sjson", "\"arch\"", "\"Arch\"");
    seen.push(refused());
    // What stands beside a good signature is not signed.
    signer.sign(&tree, Form::Clear);
    let good = fs::read_to_string(signed(&tree, "index.sjson")).expect("readable");
    fs::write(signed(&tree, "index.sjson"), format!("{{\"index\": {{}}}}\n{good}")).expect("written");
    let ignored = world.fleet(&["plan"]).expect(2).stdout;
    assert!(ignored.contains("build 20241101_05:24"), "{ignored}");
    fs::write(signed(&tree, "index.sjson"), format!("{good}{good}")).expect("written");
    seen.push(refused());
    let other = Signer::new();
    other.sign(&tree, Form::Clear);
    seen.push(refused());
    for name in ["index.sjson", "images.sjson"] {
        fs::remove_file(signed(&tree, name)).expect("removed");
    }
    signer.sign(&tree, Form::Detached);
    change("images.json", "\"arch\"", "\"Arch\"");
    seen.push(refused());
    fs::copy(signed(&tree, "index.json.gpg"), signed(&tree, "images.json.gpg")).expect("copied");
    seen.push(refused());
    insta::assert_snapshot!(seen.join("\n"), @r#"
    ! test/1  cannot trust `SERVER`: `streams/v1/index.json`: the server has no signature of it
    ! test/1  cannot trust `SERVER`: `streams/v1/images.json`: it has no good signature by `KEY` (BAD signature from "test@example.org")
    ! test/1  cannot trust `SERVER`: `streams/v1/index.json`: it has no good signature by `KEY` (handle plaintext failed: Unexpected error)
    ! test/1  cannot trust `SERVER`: `streams/v1/index.json`: it has no good signature by `KEY` (Can't check signature: No public key)
    ! test/1  cannot trust `SERVER`: `streams/v1/images.json`: it has no good signature by `KEY` (BAD signature from "test@example.org")
    ! test/1  cannot trust `SERVER`: `streams/v1/images.json`: it has no good signature by `KEY` (BAD signature from "test@example.org")
    "#);

    // Where nobody could verify it, that is said and nothing is done.
    let empty = world.dir.path().join("empty");
    fs::create_dir(&empty).expect("a directory");
    let plan = world.command(&["plan"]).env("PATH", empty).output().expect("fleet runs");
    let plan = world::ran(&plan).expect(1).stderr.replace(&server.url(), "SERVER");
    insta::assert_snapshot!(plan, @r"
    ! test/1  cannot trust `SERVER`: `streams/v1/index.json`: this host has no program `gpgv` to verify its signature with
      hint: install the package gpgv
    ");

    fs::write(&key, "no key").expect("written");
    let rejected = world.fleet(&["plan"]).expect(64).stderr;
    assert!(rejected.contains("is no public key of OpenPGP"), "{rejected}");
}
