//! `ssh_keys`: public keys, written out or in files, as checked lines of `authorized_keys`.

use super::findings::Complaint;
use super::node::Entry;
use super::reader::{Reader, item_place};

/// How the algorithms of public keys begin (sshd(8)); what begins otherwise is the path of a file.
const ALGORITHMS: [&str; 3] = ["ssh-", "ecdsa-", "sk-"];

/// Reads the list of keys that `entry` has.
pub(super) fn ssh_keys(reader: &mut Reader, entry: &Entry) -> Option<Vec<String>> {
    let mut keys = Vec::new();
    let mut whole = true;
    for node in reader.list(entry)? {
        let Some(text) = reader.item("a key", entry.key.span, node) else {
            whole = false;
            continue;
        };
        let found = if is_key(text) { line(text).map(|key| vec![key]) } else { from_file(reader, text) };
        match reader.accept(item_place(entry.key.span, node), found) {
            Some(found) => keys.extend(found),
            None => whole = false,
        }
    }
    whole.then_some(keys)
}

fn is_key(text: &str) -> bool {
    ALGORITHMS.iter().any(|algorithm| text.trim_start().starts_with(algorithm))
}

/// The key that `text` is, as one line.
fn line(text: &str) -> Result<String, Complaint> {
    let text = text.trim();
    if text.contains(char::is_control) {
        return Err(Complaint::new("a public key is one line"));
    }
    match ssh_key::PublicKey::from_openssh(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(error) => Err(Complaint::new(format!("`{}` is not a public key: {error}", shortened(text)))),
    }
}

/// The keys in the file that `text` names. The private key beside a public one is the one that ssh-keygen(1) made with
/// it; only its path is kept.
fn from_file(reader: &mut Reader, text: &str) -> Result<Vec<String>, Complaint> {
    let content = reader.files.read(text).map_err(|complaint| match complaint.hint {
        Some(_) => complaint.hint("make it with `ssh-keygen`, or name a public key that is there"),
        None => complaint,
    })?;
    if content.contains("PRIVATE KEY-----") {
        let hint = format!("name its public half: `{text}.pub`");
        return Err(Complaint::new(format!("`{text}` holds a private key")).hint(hint));
    }
    let lines = content.lines().enumerate().map(|(number, text)| (number + 1, text.trim()));
    let keys: Vec<String> = lines
        .filter(|(_, line)| !line.is_empty() && !line.starts_with('#'))
        .map(|(number, key)| {
            line(key)
                .map_err(|complaint| Complaint::new(format!("in line {number} of `{text}`: {}", complaint.message)))
        })
        .collect::<Result<_, _>>()?;
    match keys.as_slice() {
        [] => return Err(Complaint::new(format!("`{text}` holds no key"))),
        [key] => {
            let path = reader.files.path(text)?;
            let private = path.with_extension("");
            if path.extension().is_some_and(|extension| extension == "pub") && private.is_file() {
                reader.private_keys.insert(key.clone(), private);
            }
        }
        _ => {}
    }
    Ok(keys)
}

/// Enough of a long text to know it by.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_all_usual_kinds_are_taken() {
        for key in include_str!("testdata/keys.pub").lines() {
            assert_eq!(line(key), Ok(key.to_owned()));
        }
    }

    #[test]
    fn what_is_no_key_is_said() {
        let message = |text: &str| line(text).expect_err("it is no key").message;
        insta::assert_snapshot!(message("ssh-ed25519 AAAA"), @"`ssh-ed25519 AAAA` is not a public key: Base64 encoding error: invalid Base64 length");
        insta::assert_snapshot!(message("ssh-ed25519"), @"`ssh-ed25519` is not a public key: length invalid");
        insta::assert_snapshot!(message("ssh-wonder AAAAC3NzaC1lZDI1NTE5AAAAIA3Jr8wbcWnPSbv8jX2HkuNVRwMsa0bVUvpDMGwP1o0s"), @"`ssh-wonder AAAAC3NzaC1lZDI1NTE5AAAAIA3Jr…` is not a public key: unknown algorithm");
        insta::assert_snapshot!(message("ssh-ed25519 AA\nAA"), @"a public key is one line");
    }
}
