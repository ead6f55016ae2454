//! Other files that a fleet file names: where they are, and their text.

use std::fs;
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};

use super::findings::Complaint;
use super::interpolate::Environment;

/// The largest file that is read whole, in bytes: a thousand times what a template or a list of keys needs.
const LARGEST: u64 = 1 << 20;

/// What relative paths of a fleet file start from.
#[derive(Debug)]
pub(super) struct Files {
    directory: PathBuf,
    home: Option<PathBuf>,
}

impl Files {
    /// Those that the fleet file `file` names.
    pub(super) fn beside(file: &Path, environment: &Environment<'_>) -> Files {
        let directory = file.parent().unwrap_or(Path::new(""));
        // An empty path is refused by `absolute`, and it fails on nothing else but a lost working directory.
        let directory = std::path::absolute(Path::new(".").join(directory)).unwrap_or_else(|_| directory.to_owned());
        let home = environment("HOME").map(PathBuf::from).filter(|home| home.is_absolute());
        Files { directory, home }
    }

    /// The absolute path that `text` stands for, without `.` and `..`.
    pub(super) fn path(&self, text: &str) -> Result<PathBuf, Complaint> {
        if text.is_empty() || text.contains('\0') {
            return Err(Complaint::new(format!("`{}` is not a path", text.escape_debug())));
        }
        let Some(in_home) = text.strip_prefix("~/").or_else(|| text.strip_prefix('~').filter(|rest| rest.is_empty()))
        else {
            return Ok(normalised(&self.directory.join(text)));
        };
        let home = self.home.as_ref().ok_or_else(|| {
            Complaint::new(format!("cannot tell where `{text}` is: the environment has no variable `HOME`"))
                .hint("write the path in full")
        })?;
        Ok(normalised(&home.join(in_home)))
    }

    /// The absolute path that `text` stands for, of something that is there. Whether it is cannot always be told:
    /// fleet files are checked by users who may not look everywhere.
    pub(super) fn existing(&self, text: &str) -> Result<PathBuf, Complaint> {
        let path = self.path(text)?;
        match fs::metadata(&path) {
            Err(error) if is_absent(&error) => {
                let complaint = Complaint::new(format!("cannot find `{}`: {}", path.display(), reason(&error)));
                Err(complaint.hint(self.whence(text)))
            }
            Ok(_) | Err(_) => Ok(path),
        }
    }

    /// The content of the file that `text` stands for.
    pub(super) fn read_bytes(&self, text: &str) -> Result<Vec<u8>, Complaint> {
        let path = self.path(text)?;
        read_file(&path).map_err(|error| self.unreadable(text, &path, &error))
    }

    /// The text of the file that `text` stands for.
    pub(super) fn read(&self, text: &str) -> Result<String, Complaint> {
        let path = self.path(text)?;
        read_text(&path).map_err(|error| self.unreadable(text, &path, &error))
    }

    fn unreadable(&self, text: &str, path: &Path, error: &io::Error) -> Complaint {
        let complaint = Complaint::new(format!("cannot read `{}`: {}", path.display(), reason(error)));
        complaint.or_hint(is_absent(error).then(|| self.whence(text)))
    }

    /// What to do if nothing is where `text` leads.
    fn whence(&self, text: &str) -> String {
        if text.starts_with(['/', '~']) {
            return "make it first, or correct the path".to_owned();
        }
        format!("make it first, or correct the path, which is looked up in `{}`", self.directory.display())
    }
}

fn is_absent(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// What `error` says, without the number of the system's error.
pub(super) fn reason(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error ").map_or(text.as_str(), |(reason, _)| reason).to_owned()
}

fn read_text(path: &Path) -> io::Result<String> {
    String::from_utf8(read_file(path)?).map_err(|_| io::Error::other("it is not UTF-8 text"))
}

/// Only of regular files: reading a device or a pipe may never end.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut content = Vec::new();
    fs::File::open(path)?.take(LARGEST + 1).read_to_end(&mut content)?;
    if content.len() as u64 > LARGEST {
        return Err(io::Error::other("it is larger than 1MiB"));
    }
    Ok(content)
}

/// `path` without `.` and `..`, by its words alone: the files need not be there yet.
fn normalised(path: &Path) -> PathBuf {
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                normal.pop();
            }
            Component::RootDir | Component::Prefix(_) | Component::Normal(_) => normal.push(component),
        }
    }
    normal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_to_the_fleet_file_or_the_home_directory() {
        let home = |name: &str| (name == "HOME").then(|| "/home/dev".to_owned());
        let files = Files::beside(Path::new("/srv/fleets/dev.yaml"), &home);
        assert_eq!(files.path("../keys/./a.pub"), Ok("/srv/keys/a.pub".into()));
        assert_eq!(files.path("/etc/../a"), Ok("/a".into()));
        assert_eq!(files.path("~/.ssh/id.pub"), Ok("/home/dev/.ssh/id.pub".into()));
        assert_eq!(files.path("~other/x"), Ok("/srv/fleets/~other/x".into()));
    }

    #[test]
    fn without_a_home_directory_a_tilde_is_a_complaint() {
        let files = Files::beside(Path::new("/srv/dev.yaml"), &|_| None);
        let complaint = files.path("~/a").expect_err("there is no home");
        assert_eq!(complaint.message, "cannot tell where `~/a` is: the environment has no variable `HOME`");
    }

    #[test]
    fn only_regular_text_files_are_read() {
        let files = Files::beside(Path::new("/srv/dev.yaml"), &|_| None);
        let message = |path: &str| files.read(path).expect_err("it cannot be read").message;
        assert_eq!(message("/dev/zero"), "cannot read `/dev/zero`: it is not a regular file");
        assert_eq!(message("/no/such"), "cannot read `/no/such`: No such file or directory");
    }
}
