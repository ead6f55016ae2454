//! What registries say: manifests, indexes of them, and configurations, of OCI and of Docker.

use std::path::PathBuf;

use serde::Deserialize;

use crate::image::web::WebError;
use crate::model::{Entrypoint, ImageDigest, StopSignal, UserChoice};

/// The most layers that are stacked: docker's own limit is 127.
const MOST_LAYERS: usize = 500;

/// The largest layer.
const LARGEST: u64 = 64 << 30;

/// The kinds of configuration that root file systems have; other things are kept in registries, too.
const CONFIGS: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// Why an image of a registry cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum RegistryError {
    /// The registry did not give it.
    #[error(transparent)]
    Web(#[from] WebError),
    /// It is not what the specification says.
    #[error("cannot understand the registry's {what}: {source}")]
    Malformed {
        /// What was read.
        what: &'static str,
        /// Why.
        source: serde_json::Error,
    },
    /// What came has another digest.
    #[error("cannot verify `{what}` of `{server}`: its SHA-256 is {found}")]
    Mismatch {
        /// The registry.
        server: String,
        /// What was asked for.
        what: String,
        /// What came.
        found: String,
    },
    /// A name of something else.
    #[error("`{0}` is not the name of an image of a registry")]
    NoRepository(String),
    /// An index where an image must be.
    #[error("cannot use an index that consists of indexes")]
    Nested,
    /// A chart, a signature, or the like.
    #[error("it is no image of a root file system, but {0}")]
    NotAnImage(String),
    /// Other architectures only.
    #[error("it is not there for linux/{wanted}, only for {offered}")]
    NotForHere {
        /// What is asked for.
        wanted: &'static str,
        /// What there is.
        offered: String,
    },
    /// What no honest registry says.
    #[error("cannot trust the image: {0}")]
    Untrusted(String),
}

/// Names another document, or a layer.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Descriptor {
    #[serde(default)]
    media_type: String,
    pub(super) digest: String,
    size: u64,
    platform: Option<Platform>,
}

#[derive(Debug, Clone, Deserialize)]
struct Platform {
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default)]
    variant: Option<String>,
}

/// An image's manifest, or an index of manifests.
#[derive(Debug, Deserialize)]
pub(super) struct Manifest {
    manifests: Option<Vec<Descriptor>>,
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
}

/// What an image says of itself.
#[derive(Debug, Deserialize)]
pub(super) struct Config {
    #[serde(default)]
    created: Option<String>,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    os: String,
    #[serde(default, rename = "config")]
    program: Option<ProgramConfig>,
    rootfs: RootFileSystem,
}

/// What is to be run.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct ProgramConfig {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    working_dir: Option<String>,
    user: Option<String>,
    stop_signal: Option<String>,
}

#[derive(Debug, Deserialize)]
struct RootFileSystem {
    diff_ids: Vec<String>,
}

/// A layer as it is loaded.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Blob {
    /// Its SHA-256 as it is packed.
    pub(super) sha256: String,
    /// Bytes.
    pub(super) size: u64,
}

/// An image that can be fetched.
#[derive(Debug)]
pub(super) struct Pulled {
    /// When it was made, in the form of image servers' serials.
    pub(super) serial: String,
    /// The layers, the lowest first.
    pub(super) layers: Vec<Blob>,
    /// The SHA-256 of what each of them unpacks to.
    pub(super) contents: Vec<String>,
    /// What it is made for, if it says that and it can be run.
    pub(super) entrypoint: Option<Entrypoint>,
}

impl Manifest {
    pub(super) fn parse(text: &[u8]) -> Result<Manifest, RegistryError> {
        let manifest: Manifest = parse("manifest", text)?;
        // A document that is both means one thing to one reader and another to the next (CVE-2021-41190).
        if manifest.manifests.is_some() == manifest.layers.is_some() {
            let what = "a manifest has either layers or manifests; the one of docker's first format has neither";
            return Err(RegistryError::Untrusted(what.to_owned()));
        }
        Ok(manifest)
    }

    /// Of an index, the manifest for `arch`, by Debian's name. `None` if it is no index.
    pub(super) fn of_architecture(&self, arch: &str) -> Result<Option<&Descriptor>, RegistryError> {
        let Some(manifests) = &self.manifests else { return Ok(None) };
        let (wanted, variants) = platform(arch);
        let of = |variant: Option<&str>| {
            manifests.iter().find(|it| {
                it.platform
                    .as_ref()
                    .is_some_and(|it| it.os == "linux" && it.architecture == wanted && it.variant.as_deref() == variant)
            })
        };
        if let Some(found) = variants.iter().copied().find_map(of) {
            return Ok(Some(found));
        }
        let platforms = manifests.iter().filter_map(|it| it.platform.as_ref()).filter(|it| it.os != "unknown");
        let mut offered: Vec<String> = platforms.map(shown).collect();
        offered.sort();
        offered.dedup();
        offered.truncate(12);
        Err(RegistryError::NotForHere { wanted, offered: listed(&offered) })
    }

    pub(super) fn config(&self) -> Result<&Descriptor, RegistryError> {
        let config = self.config.as_ref().filter(|config| CONFIGS.contains(&config.media_type.as_str()));
        config.ok_or_else(|| {
            let kind = self.config.as_ref().map_or("nothing", |config| &config.media_type);
            RegistryError::NotAnImage(format!("`{}`", kind.escape_debug()))
        })
    }

    pub(super) fn layers(&self) -> Result<Vec<Blob>, RegistryError> {
        let layers = self.layers.as_deref().unwrap_or_default();
        if layers.len() > MOST_LAYERS {
            return Err(RegistryError::Untrusted(format!("it has {} layers", layers.len())));
        }
        let blob = |layer: &Descriptor| {
            if layer.size > LARGEST {
                return Err(RegistryError::Untrusted(format!("a layer is said to have {} bytes", layer.size)));
            }
            Ok(Blob { sha256: sha256(&layer.digest)?, size: layer.size })
        };
        layers.iter().map(blob).collect()
    }
}

impl Config {
    pub(super) fn parse(text: &[u8]) -> Result<Config, RegistryError> {
        parse("image configuration", text)
    }
}

impl ProgramConfig {
    /// The program that it names. `None` if it names none, or as nobody: then the image can still be used in other ways.
    fn entrypoint(&self) -> Option<Entrypoint> {
        let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        let words: Vec<String> = [&self.entrypoint, &self.cmd].into_iter().flatten().flatten().cloned().collect();
        let user = some(&self.user);
        let is_user = user.as_ref().is_none_or(|user| user.parse::<UserChoice>().is_ok());
        let directory = some(&self.working_dir).map(PathBuf::from);
        let is_absolute = directory.as_ref().is_none_or(|directory| directory.is_absolute());
        let stop_signal = some(&self.stop_signal).map(|text| text.parse::<StopSignal>()).transpose().ok()?;
        let is_said = words.first().is_some_and(|program| !program.is_empty());
        (is_said && is_user && is_absolute).then(|| Entrypoint {
            words,
            environment: self.env.clone().unwrap_or_default(),
            directory,
            user,
            stop_signal: stop_signal.unwrap_or_default(),
        })
    }
}

impl Pulled {
    /// The image of `config` and `layers`, if it is for `arch`.
    pub(super) fn new(config: &Config, layers: &[Blob], arch: &str) -> Result<Pulled, RegistryError> {
        let (wanted, _) = platform(arch);
        if config.os != "linux" || config.architecture != wanted {
            let offered = format!("`{}/{}`", config.os.escape_debug(), config.architecture.escape_debug());
            return Err(RegistryError::NotForHere { wanted, offered });
        }
        let contents: Vec<String> = config.rootfs.diff_ids.iter().map(|it| sha256(it)).collect::<Result<_, _>>()?;
        if contents.len() != layers.len() {
            let what = format!("{} layers, and checksums of {}", layers.len(), contents.len());
            return Err(RegistryError::Untrusted(what));
        }
        let layers = layers.iter().map(|it| Blob { sha256: it.sha256.clone(), size: it.size }).collect();
        let entrypoint = config.program.as_ref().and_then(ProgramConfig::entrypoint);
        Ok(Pulled { serial: serial(config.created.as_deref()), layers, contents, entrypoint })
    }

    /// Bytes of all layers.
    pub(super) fn bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.size).sum()
    }
}

fn parse<T: serde::de::DeserializeOwned>(what: &'static str, text: &[u8]) -> Result<T, RegistryError> {
    serde_json::from_slice(text).map_err(|source| RegistryError::Malformed { what, source })
}

/// The hexadecimal digits of `digest`; another algorithm than SHA-256 is not known.
pub(super) fn sha256(digest: &str) -> Result<String, RegistryError> {
    let hex = digest.strip_prefix("sha256:").filter(|hex| ImageDigest::parse_hex(hex).is_ok_and(|it| it == *hex));
    let bad = || RegistryError::Untrusted(format!("`{}` is not a SHA-256", digest.escape_debug()));
    hex.map(str::to_owned).ok_or_else(bad)
}

/// What registries call the architecture `arch`, by Debian's name, and the variants of it that can be meant, the best
/// first.
fn platform(arch: &str) -> (&'static str, &'static [Option<&'static str>]) {
    const PLAIN: &[Option<&str>] = &[None];
    match arch {
        "amd64" => ("amd64", &[None, Some("v1")]),
        "arm64" => ("arm64", &[Some("v8"), None]),
        "armhf" => ("arm", &[Some("v7"), None, Some("v6"), Some("v5")]),
        "armel" => ("arm", &[Some("v6"), Some("v5"), None]),
        "i386" => ("386", PLAIN),
        "loong64" => ("loong64", PLAIN),
        "ppc64el" => ("ppc64le", PLAIN),
        "riscv64" => ("riscv64", PLAIN),
        "s390x" => ("s390x", PLAIN),
        _ => ("unknown", PLAIN),
    }
}

fn shown(platform: &Platform) -> String {
    let variant = platform.variant.as_ref().map(|variant| format!("/{variant}")).unwrap_or_default();
    format!("{}/{}{variant}", platform.os, platform.architecture).escape_debug().to_string()
}

fn listed(offered: &[String]) -> String {
    if offered.is_empty() {
        "platforms that it does not name".to_owned()
    } else {
        format!("`{}`", offered.join("`, `"))
    }
}

/// The time `created` (RFC 3339) as `20241101_05:24`.
fn serial(created: Option<&str>) -> String {
    let form = "dddd-dd-ddTdd:dd";
    let digits = created.filter(|time| time.is_ascii()).and_then(|time| time.get(..form.len())).filter(|time| {
        let fits = |(form, found): (u8, u8)| if form == b'd' { found.is_ascii_digit() } else { form == found };
        form.bytes().zip(time.bytes()).all(fits)
    });
    digits.map_or_else(|| "undated".to_owned(), |time| time.replace('-', "").replace('T', "_"))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn digest(digit: &str) -> String {
        format!("sha256:{}", digit.repeat(64))
    }

    fn index(platforms: &[(&str, &str, Option<&str>)]) -> Manifest {
        let manifests: Vec<Value> = platforms
            .iter()
            .zip(["a", "b", "c", "d"])
            .map(|((os, architecture, variant), digit)| {
                json!({"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest(digit), "size": 7,
                    "platform": {"os": os, "architecture": architecture, "variant": variant}})
            })
            .collect();
        read(&json!({"schemaVersion": 2, "manifests": manifests})).expect("an index")
    }

    fn read(document: &Value) -> Result<Manifest, RegistryError> {
        Manifest::parse(document.to_string().as_bytes())
    }

    #[test]
    fn an_index_gives_what_this_host_runs_best() {
        let many = index(&[
            ("linux", "amd64", Some("v3")),
            ("linux", "amd64", None),
            ("linux", "arm", Some("v5")),
            ("linux", "arm", Some("v7")),
        ]);
        let chosen = |arch: &str| many.of_architecture(arch).map(|found| found.expect("an index").digest.clone());
        assert_eq!(chosen("amd64").expect("it has it"), digest("b"));
        assert_eq!(chosen("armhf").expect("it has it"), digest("d"));
        assert_eq!(chosen("armel").expect("it has it"), digest("c"));
        insta::assert_snapshot!(chosen("arm64").expect_err("it has not"), @"it is not there for linux/arm64, only for `linux/amd64`, `linux/amd64/v3`, `linux/arm/v5`, `linux/arm/v7`");
        let windows = index(&[("windows", "amd64", None), ("unknown", "unknown", None)]);
        insta::assert_snapshot!(windows.of_architecture("amd64").expect_err("it has not"), @"it is not there for linux/amd64, only for `windows/amd64`");
    }

    #[test]
    fn what_cannot_be_trusted_or_is_no_image_is_refused() {
        let kind = CONFIGS[0];
        let config = json!({"mediaType": kind, "digest": digest("c"), "size": 9});
        let with_layer = |layer: Value| json!({"config": config, "layers": [layer]});
        let layers = |layer: Value| read(&with_layer(layer)).and_then(|manifest| manifest.layers()).expect_err("bad");
        let chart = json!({"config": {"mediaType": "application/vnd.cncf.helm.config.v1+json", "digest": "", "size": 1},
            "layers": []});
        let both = json!({"manifests": [], "config": config, "layers": []});
        let pulled = |config: Value, layers: &[Blob]| {
            Config::parse(config.to_string().as_bytes())
                .and_then(|it| Pulled::new(&it, layers, "amd64"))
                .expect_err("bad")
        };
        let refusals = [
            read(&both).expect_err("both").to_string(),
            read(&json!({"schemaVersion": 1, "fsLayers": []})).expect_err("old").to_string(),
            read(&chart).expect("a manifest").config().expect_err("a chart").to_string(),
            layers(json!({"digest": "sha256:../../x", "size": 1})).to_string(),
            layers(json!({"digest": "sha512:00", "size": 1})).to_string(),
            layers(json!({"digest": digest("a"), "size": 1_u64 << 40})).to_string(),
            pulled(json!({"os": "linux", "architecture": "arm64", "rootfs": {"diff_ids": []}}), &[]).to_string(),
            pulled(json!({"os": "linux", "architecture": "amd64", "rootfs": {"diff_ids": [digest("a")]}}), &[])
                .to_string(),
        ];
        insta::assert_snapshot!(refusals.join("\n"), @r"
        cannot trust the image: a manifest has either layers or manifests; the one of docker's first format has neither
        cannot trust the image: a manifest has either layers or manifests; the one of docker's first format has neither
        it is no image of a root file system, but `application/vnd.cncf.helm.config.v1+json`
        cannot trust the image: `sha256:../../x` is not a SHA-256
        cannot trust the image: `sha512:00` is not a SHA-256
        cannot trust the image: a layer is said to have 1099511627776 bytes
        it is not there for linux/amd64, only for `linux/arm64`
        cannot trust the image: 0 layers, and checksums of 1
        ");
    }

    #[test]
    fn a_configuration_names_its_program() {
        let program = |config: Value| {
            let text = json!({"os": "linux", "architecture": "amd64", "config": config, "rootfs": {"diff_ids": []}});
            let config = Config::parse(text.to_string().as_bytes()).expect("a configuration");
            Pulled::new(&config, &[], "amd64").expect("an image").entrypoint
        };
        let full = json!({"Entrypoint": ["/entry", "-x"], "Cmd": ["run"], "Env": ["A=1"], "WorkingDir": "/srv",
            "User": "app:7", "StopSignal": "SIGQUIT", "ExposedPorts": {"80/tcp": {}}});
        let found = program(full.clone()).expect("a program");
        assert_eq!(found.words, ["/entry", "-x", "run"]);
        assert_eq!((found.user.as_deref(), found.stop_signal), (Some("app:7"), StopSignal::Standard(3)));
        assert_eq!(program(json!({"Cmd": ["sh"], "User": "", "WorkingDir": ""})).expect("a program").words, ["sh"]);
        for (key, bad) in [
            ("User", json!("a:b:c")),
            ("WorkingDir", json!("srv")),
            ("StopSignal", json!("SIGNONE")),
            ("Entrypoint", json!([""])),
        ] {
            let mut config = full.clone();
            config[key] = bad;
            assert_eq!(program(config), None, "{key}");
        }
        assert_eq!((program(json!({})), program(Value::Null)), (None, None));
    }

    #[test]
    fn a_time_becomes_a_serial() {
        assert_eq!(serial(Some("2024-11-01T05:24:33.1234Z")), "20241101_05:24");
        for bad in
            [None, Some("yesterday"), Some("2024-11-01"), Some("2024-11-01\u{1b}05:24"), Some("ä024-11-01T05:24")]
        {
            assert_eq!(serial(bad), "undated");
        }
    }
}
