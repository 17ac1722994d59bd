//! A scenario is run up to a moment, and somebody looks at the machine as it stands there.
//!
//! # Invariants
//! - The image is read once, while the first machine runs.

use std::io;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use umpire_mdb::image::GuestImage;
use umpire_mdb::types::TypesError;
use umpire_referee::{RunOptions, VariantReport};
use umpire_rows::number;
use umpire_scenario::{Overrides, Scenario, Setting, Variant};
use umpire_watch::glass::Target;

use super::Backends;
use super::exit::Exit;
use super::load::load;
use super::streams::Streams;

/// Where a machine is to stand.
#[derive(Debug, Clone)]
pub(super) struct Stand {
    /// `ID[:VARIANT]`, or a file.
    pub run: String,
    /// ns of guest time; none for its first violation, or its end.
    pub at_ns: Option<u64>,
    /// Tunables over the scenario and the variant.
    pub settings: Vec<Setting>,
    /// Virtual CPUs.
    pub cpus: Option<u32>,
    /// The simulator's seed; none for KVM.
    pub seed: Option<u64>,
}

impl Stand {
    /// The scenario and the variant that `ID[:VARIANT]` means: the first one if none is named.
    pub fn chosen(&self) -> Result<(Scenario, Variant), String> {
        let whole = load(&self.run);
        let (id, name) = match (&whole, self.run.split_once(':')) {
            (Err(_), Some((id, name))) => (id, Some(name)),
            _ => (self.run.as_str(), None),
        };
        let scenario = if name.is_some() { load(id) } else { whole }.map_err(|e| e.to_string())?;
        let overrides = Overrides {
            settings: self.settings.clone(),
            cpus: self.cpus,
            run_ns: self.at_ns,
            sample_hz: None,
        };
        let scenario = scenario.with(&overrides).map_err(|e| e.to_string())?;
        let variant = variant_of(&scenario, name)?;
        Ok((scenario, variant))
    }
}

/// The variant of this name, or the first if there is no name.
///
/// # Errors
/// A sentence with those there are.
pub(super) fn variant_of(scenario: &Scenario, name: Option<&str>) -> Result<Variant, String> {
    let found = match name {
        None => scenario.variants.first(),
        Some(name) => scenario.variants.iter().find(|v| v.name == name),
    };
    found.cloned().ok_or_else(|| {
        let all: Vec<&str> = scenario.variants.iter().map(|v| v.name.as_str()).collect();
        format!("there is no variant `{}`; there are: {}", name.unwrap_or_default(), all.join(", "))
    })
}

/// The guest's image, which is being read, or has been.
#[derive(Debug)]
pub(super) struct Image {
    reader: Option<JoinHandle<Result<GuestImage, TypesError>>>,
    read: Option<Arc<GuestImage>>,
}

impl Image {
    /// Begins to read it.
    pub fn read() -> io::Result<Image> {
        let reader = thread::Builder::new().name("image".to_owned()).spawn(GuestImage::built_in)?;
        Ok(Image { reader: Some(reader), read: None })
    }

    /// It, once it has been read.
    pub fn get(&mut self) -> Result<Arc<GuestImage>, String> {
        if let Some(reader) = self.reader.take() {
            let result = reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            self.read = Some(Arc::new(result.map_err(|e| e.to_string())?));
        }
        self.read.clone().ok_or_else(|| "the guest's image could not be read".to_owned())
    }
}

/// Who looks at a machine that stands still, with what the referee found and the image that it runs.
pub(super) type Looks<'l> =
    dyn FnMut(&dyn Target, &VariantReport, Arc<GuestImage>, &mut Streams<'_>) -> io::Result<Exit> + 'l;

/// Runs the machine up to where it is to stand, and looks.
pub(super) fn look_at(
    stand: &Stand,
    image: &mut Image,
    backends: &mut Backends<'_>,
    streams: &mut Streams<'_>,
    look: &mut Looks<'_>,
) -> io::Result<Exit> {
    let (scenario, variant) = match stand.chosen() {
        Ok(chosen) => chosen,
        Err(message) => return refused(&message, streams),
    };
    let until = stand.at_ns.map_or_else(|| "its violation or end".to_owned(), number::exact);
    streams.narrate(&format!("{} {}: running up to {until}", scenario.id, variant.name));
    let options = RunOptions {
        seed: stand.seed,
        until_first_violation: stand.at_ns.is_none(),
        ..RunOptions::default()
    };
    let mut result = Ok(Exit::Pass);
    let run =
        (backends.inspect)(&scenario, &variant, &options, stand.seed.is_some(), &mut |target, report| {
            let stopped =
                format!("stopped after {}: {}", number::rounded(report.run_ns), report.observed.as_str());
            streams.narrate(&format!("{} {}: {stopped}", report.scenario, report.variant));
            result = match image.get() {
                Ok(image) => look(target, report, image, streams),
                Err(message) => refused(&message, streams),
            };
        });
    match run {
        Ok(_) => result,
        Err(error) => refused(&error.to_string(), streams),
    }
}

fn refused(message: &str, streams: &mut Streams<'_>) -> io::Result<Exit> {
    streams.say(&format!("umpire: {message}"));
    Ok(Exit::Usage)
}
