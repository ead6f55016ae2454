//! `fleet` turns a YAML file into running system containers.
//!
//! There is no daemon and no state file that could lie: the host is the truth. Every command reads the fleet file, looks
//! at the host, and works on the difference.
//!
//! ```text
//!     YAML ──manifest──▶ Fleet ─┐
//!                               ├─plan (pure)─▶ Plan ──converge (parallel)──▶ Outcome
//!     host ──observe───▶ Host ──┘                        │ events ──▶ report
//! ```
//!
//! Five nouns carry it, all in [`model`]: `Fleet` (desired), `Host` (observed), `Plan`, `Step`, `Outcome`. `destroy` is an
//! apply of the empty fleet, and there is no path of its own for the first apply: an empty host is just a `Host`.
//!
//! # The rooms
//!
//! Each folder has one job; its `mod.rs` says where to start reading and what the room never does.
//!
//! | room | its one job | never |
//! |---|---|---|
//! | [`model`] | the nouns, sizes and names | IO; knows YAML, engines or the kernel |
//! | [`manifest`] | YAML to a `Fleet`, or every finding with its place | looks at the host; stops at the first finding |
//! | [`observe`] | engines, network and image store to a `Host` | changes anything |
//! | [`plan`] | `Fleet` and `Host` to a `Plan`, a graph of steps each with its reason | files, net, clock, chance; fails |
//! | [`converge`] | a `Plan` to an `Outcome`: what is ready at once, failures, signals | decides, prints, adds steps |
//! | [`engine`] | the few verbs of a container behind one small trait | chooses names or addresses; knows the plan |
//! | [`image`] | finds, checks, unpacks and keeps root file systems | knows containers |
//! | [`network`] | links, addresses and routes | knows engines |
//! | [`guest`] | users, keys, files and network configuration inside, per distribution and init | knows which engine |
//! | [`template`] | text from templates: compiled once, strict, pure | reads anything it was not given |
//! | [`store`] | the layout on disk, atomic writes, the lock | interprets what it stores |
//! | [`sys`] | the safe skin over the kernel: alone in what the compiler cannot check | knows our words |
//! | [`report`] | plans, events and states to a terminal or JSON | computes |
//! | [`cli`] | one file for each verb: its arguments, its help, its call | holds a rule of the domain |
//!
//! Where does a line go? It knows YAML: manifest. It decides: plan. It does: engine, network, image, guest. It is a noun:
//! model. It writes our paths: store. The compiler cannot check it: sys. It talks to the user: cli or report.
//!
//! # Following one command
//!
//! `fleet apply`: [`cli`]'s `apply` loads the fleets ([`manifest::load`]), `change` takes root, launcher, runtime and
//! lock, looks at the host ([`observe::observe`]), plans ([`plan::plan`]), shows and asks, and `converging` runs the plan
//! ([`converge::converge`]) with [`converge::HostPerformer`], which does each step through an [`engine::Engine`],
//! [`image::Images`], [`network`] and [`guest`]. Then it looks again: success that was not seen is not reported.

pub mod cli;
pub mod converge;
pub mod engine;
pub mod guest;
pub mod image;
pub mod manifest;
pub mod model;
pub mod network;
pub mod observe;
pub mod plan;
pub mod report;
pub mod store;
pub mod sys;
pub mod template;
