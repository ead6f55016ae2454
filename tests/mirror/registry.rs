//! Images for OCI registries, from real root file systems, and Debian's registry to keep them.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use super::{run, sha256};

/// How a layer is packed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Packing {
    Plain,
    Gzip,
    Zstd,
}

/// A layer: its tar archive, and how it is packed.
#[derive(Clone)]
pub(crate) struct Layer {
    pub(crate) archive: Vec<u8>,
    pub(crate) packing: Packing,
}

/// An image in a directory of the host, as an OCI layout and as the paths that a registry has.
pub(crate) struct Image {
    pub(crate) dir: tempfile::TempDir,
    pub(crate) manifest: Value,
    pub(crate) config: Value,
}

impl Layer {
    /// What `script` of the shell makes in an empty directory, in the order of their names.
    pub(crate) fn made_by(script: &str, packing: Packing) -> Layer {
        let dir = tempfile::Builder::new().prefix("fleet-layer-").tempdir_in("/var/tmp").expect("a directory");
        let top = dir.path().join("top");
        fs::create_dir(&top).expect("a directory");
        run(&top, "sh", &["-ec", script]);
        Layer::of(&top, packing)
    }

    /// The directory `top`.
    pub(crate) fn of(top: &Path, packing: Packing) -> Layer {
        let archive = top.with_extension("tar");
        let path = archive.to_str().expect("text");
        run(top, "tar", &["--numeric-owner", "--xattrs", "--xattrs-include=*", "--sort=name", "-cf", path, "."]);
        Layer { archive: fs::read(archive).expect("readable"), packing }
    }

    fn packed(&self, dir: &Path) -> (Vec<u8>, &'static str) {
        let path = dir.join("layer");
        fs::write(&path, &self.archive).expect("written");
        let packed = |program: &str, options: &[&str], suffix: &str| {
            run(dir, program, &[&["-f", "-q"][..], options, &["layer"][..]].concat());
            fs::read(dir.join(format!("layer{suffix}"))).expect("readable")
        };
        match self.packing {
            Packing::Plain => (self.archive.clone(), "application/vnd.oci.image.layer.v1.tar"),
            Packing::Gzip => (packed("gzip", &["-n"], ".gz"), "application/vnd.oci.image.layer.v1.tar+gzip"),
            Packing::Zstd => (packed("zstd", &[], ".zst"), "application/vnd.oci.image.layer.v1.tar+zstd"),
        }
    }
}

impl Image {
    /// The image of `layers`, made at `created`.
    pub(crate) fn new(layers: &[Layer], created: &str) -> Image {
        let dir = tempfile::Builder::new().prefix("fleet-image-").tempdir_in("/var/tmp").expect("a directory");
        fs::create_dir_all(dir.path().join("blobs/sha256")).expect("a directory");
        fs::create_dir_all(dir.path().join("v2/app/blobs")).expect("a directory");
        fs::create_dir_all(dir.path().join("v2/app/manifests")).expect("a directory");
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let diff_ids: Vec<String> =
            layers.iter().map(|layer| format!("sha256:{}", sha256(&[&layer.archive]))).collect();
        let config = json!({"created": created, "architecture": architecture, "os": "linux",
            "config": {}, "rootfs": {"type": "layers", "diff_ids": diff_ids}});
        let mut image = Image { dir, manifest: Value::Null, config };
        let layers: Vec<Value> = layers
            .iter()
            .map(|layer| {
                let (content, kind) = layer.packed(image.dir.path());
                image.blob(&content, kind)
            })
            .collect();
        image.manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "layers": layers});
        image.publish();
        image
    }

    /// Writes configuration, manifest and index as they are now; returns the manifest's digest.
    pub(crate) fn publish(&mut self) -> String {
        let config = self.config.to_string();
        self.manifest["config"] = self.blob(config.as_bytes(), "application/vnd.oci.image.config.v1+json");
        let manifest = self.manifest.to_string();
        let mut named = self.blob(manifest.as_bytes(), "application/vnd.oci.image.manifest.v1+json");
        let digest = named["digest"].as_str().expect("a digest").to_owned();
        named["platform"] = json!({"os": "linux", "architecture": self.config["architecture"]});
        let mut other = named.clone();
        other["platform"] = json!({"os": "linux", "architecture": "mips64le"});
        other["digest"] = json!(format!("sha256:{}", "0".repeat(64)));
        let index = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [other, named]});
        let tag = json!({"org.opencontainers.image.ref.name": "1"});
        let mut only = index["manifests"][1].clone();
        only["annotations"] = tag;
        let layout = json!({"schemaVersion": 2, "manifests": [only]});
        for (path, text) in [
            ("v2/app/manifests/1".to_owned(), index.to_string()),
            (format!("v2/app/manifests/{digest}"), manifest),
            ("index.json".to_owned(), layout.to_string()),
            ("oci-layout".to_owned(), json!({"imageLayoutVersion": "1.0.0"}).to_string()),
        ] {
            fs::write(self.path().join(path), text).expect("written");
        }
        digest
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().to_owned()
    }

    /// The path of the layer `number` in a registry.
    pub(crate) fn layer(&self, number: usize) -> String {
        format!("v2/app/blobs/{}", self.manifest["layers"][number]["digest"].as_str().expect("a digest"))
    }

    fn blob(&self, content: &[u8], kind: &str) -> Value {
        let digest = sha256(&[content]);
        fs::write(self.path().join("blobs/sha256").join(&digest), content).expect("written");
        fs::write(self.path().join(format!("v2/app/blobs/sha256:{digest}")), content).expect("written");
        json!({"mediaType": kind, "digest": format!("sha256:{digest}"), "size": content.len()})
    }
}

/// A running registry of Debian's package; it ends with its test.
pub(crate) struct Registry {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Registry {
    pub(crate) fn new() -> Registry {
        let dir = tempfile::Builder::new().prefix("fleet-registry-").tempdir_in("/var/tmp").expect("a directory");
        let free = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr()).expect("a port");
        let port = free.port();
        let data = dir.path().join("data");
        let config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: '127.0.0.1:{port}'}}\n",
            data.display()
        );
        let file = dir.path().join("config.yml");
        fs::write(&file, config).expect("written");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry");
        let registry = Registry { child, port, _dir: dir };
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            assert!(std::time::Instant::now() < deadline, "the registry does not answer");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        registry
    }

    pub(crate) fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Makes `image` what the tag `tag` of `app` is.
    pub(crate) fn push(&self, image: &Image, tag: &str) {
        let to = format!("docker://{}/app:{tag}", self.host());
        run(&image.path(), "skopeo", &["copy", "-q", "--insecure-policy", "--dest-tls-verify=false", "oci:.:1", &to]);
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
