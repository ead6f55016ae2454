//! Images on their way from servers, or in the making: a bar for each on a terminal, a line when something begins
//! elsewhere.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::plain::plain;
use super::{Console, Verbosity};
use crate::model::{Bytes, ImageNews, Transfer};

/// The transfers that are under way.
#[derive(Default)]
pub(crate) struct Transfers(BTreeMap<String, Option<ProgressBar>>);

impl Transfers {
    /// Takes note of `news`; with `bars` it is drawn there. Returns a line for those who see no bar, when something begins.
    pub(crate) fn hear(&mut self, news: &ImageNews, bars: Option<&MultiProgress>) -> Option<String> {
        match news {
            ImageNews::Transferred(transfer) => self.transferred(transfer, bars),
            ImageNews::Making { image, stage } => {
                let bar = self.0.entry(image.clone()).or_insert_with(|| bars.map(|bars| bars.add(spinner(image))));
                match bar {
                    Some(bar) => bar.set_message(plain(stage).into_owned()),
                    None => return Some(format!("{image}: {stage}")),
                }
                None
            }
        }
    }

    fn transferred(&mut self, transfer: &Transfer, bars: Option<&MultiProgress>) -> Option<String> {
        let Transfer { image, done, total } = transfer;
        let mut line = None;
        let bar = self.0.entry(image.clone()).or_insert_with(|| {
            line = Some(begin_line(transfer));
            bars.map(|bars| bars.add(bar(image)))
        });
        if let Some(bar) = bar {
            if let Some(total) = total {
                bar.set_length(*total);
            }
            bar.set_position(*done);
            if *total == Some(*done) {
                bar.finish_and_clear();
            }
        }
        line.filter(|_| bars.is_none())
    }

    /// Takes the bars away.
    pub(crate) fn finish(self) {
        for bar in self.0.into_values().flatten() {
            bar.finish_and_clear();
        }
    }
}

/// Transfers outside a plan.
#[derive(Clone)]
pub(crate) struct TransferReport {
    console: Console,
    bars: Option<MultiProgress>,
    transfers: Arc<Mutex<Transfers>>,
}

impl TransferReport {
    /// For what goes to `console`'s user.
    pub(crate) fn new(console: Console) -> TransferReport {
        let lively = io::stderr().is_terminal() && console.verbosity != Verbosity::Quiet;
        TransferReport { console, bars: lively.then(MultiProgress::new), transfers: Arc::default() }
    }

    /// Draws `news`.
    pub(crate) fn hear(&self, news: &ImageNews) {
        let mut transfers = self.transfers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = transfers.hear(news, self.bars.as_ref()) {
            self.console.note(&line);
        }
    }

    /// Takes the bars away.
    pub(crate) fn clear(&self) {
        std::mem::take(&mut *self.transfers.lock().unwrap_or_else(PoisonError::into_inner)).finish();
    }
}

fn begin_line(transfer: &Transfer) -> String {
    let Transfer { image, done, total } = transfer;
    let size = total.map_or_else(|| "of unknown size".to_owned(), |total| Bytes(total).to_string());
    if *done > 0 {
        return format!("{image}: loading goes on, {} of {size} are there", Bytes(*done));
    }
    format!("{image}: loading {size}")
}

fn spinner(image: &str) -> ProgressBar {
    let style = ProgressStyle::with_template("{prefix} {spinner} {elapsed} {wide_msg}");
    let bar = ProgressBar::new_spinner().with_style(style.expect("the template is constant and right"));
    bar.set_prefix(plain(image).into_owned());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

fn bar(image: &str) -> ProgressBar {
    let template = "{prefix} [{bar:30}] {bytes}/{total_bytes}, {bytes_per_sec}, {eta} left";
    let style = ProgressStyle::with_template(template).expect("the template is constant and right");
    let bar = ProgressBar::new(0).with_style(style.progress_chars("=> "));
    bar.set_prefix(plain(image).into_owned());
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_is_told_of_once_where_there_is_no_terminal() {
        let mut transfers = Transfers::default();
        let mut hear = |image: &str, done, total| {
            let transfer = Transfer { image: image.to_owned(), done, total };
            transfers.hear(&ImageNews::Transferred(transfer), None).unwrap_or_default()
        };
        assert_eq!(hear("alpine/3.20", 0, Some(3 << 20)), "alpine/3.20: loading 3MiB");
        assert_eq!(hear("alpine/3.20", 1 << 20, Some(3 << 20)), "");
        assert_eq!(hear("debian/12", 1 << 20, Some(3 << 20)), "debian/12: loading goes on, 1MiB of 3MiB are there");
        assert_eq!(hear("other", 0, None), "other: loading of unknown size");
        let making = ImageNews::Making { image: "bootstrap:debian/12".into(), stage: "extracting archives".into() };
        assert_eq!(transfers.hear(&making, None).unwrap_or_default(), "bootstrap:debian/12: extracting archives");
    }
}
