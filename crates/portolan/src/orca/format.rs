//! The forms of a report on the wire.

use std::time::Duration;

use base64::{
    Engine,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use portolan_core::{LoadReport, LoadReportError, Rate, Utilization};

use super::Names;
use crate::protobuf::{Fields, Malformed, Value};

/// Why a report counts for nothing.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(super) enum Garbage {
    #[error("a report of {0} bytes, of which no more than 4096 are read")]
    TooLong(usize),
    #[error("a report that is neither TEXT, JSON nor BIN")]
    UnknownForm,
    #[error("what should be {0} cannot be read as that")]
    Unreadable(&'static str),
    #[error(transparent)]
    Number(#[from] LoadReportError),
}

impl Garbage {
    /// For metrics.
    #[cfg(feature = "metrics")]
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::TooLong(_) => "too_long",
            Self::UnknownForm => "unknown_form",
            Self::Unreadable(_) => "unreadable",
            Self::Number(_) => "number",
        }
    }
}

impl From<Malformed> for Garbage {
    fn from(_: Malformed) -> Self {
        Self::Unreadable("an OrcaLoadReport")
    }
}

/// More is not read. A report of all that is known, and of fifty metrics besides, has half of that.
const LONGEST: usize = 4096;

/// gRPC writes base64 without padding, and takes it with (`PROTOCOL-HTTP2.md`).
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Reads the value of `endpoint-load-metrics`.
pub(super) fn of_header(value: &[u8], names: &Names) -> Result<LoadReport, Garbage> {
    bounded(value)?;
    if let Some(text) = value.strip_prefix(b"TEXT ") {
        of_text(text, names)
    } else if let Some(json) = value.strip_prefix(b"JSON ") {
        of_json(json, names)
    } else if let Some(binary) = value.strip_prefix(b"BIN ") {
        of_base64(binary, names)
    } else {
        Err(Garbage::UnknownForm)
    }
}

/// Reads the value of `endpoint-load-metrics-bin`.
pub(super) fn of_binary_header(value: &[u8], names: &Names) -> Result<LoadReport, Garbage> {
    bounded(value)?;
    of_base64(value, names)
}

/// Reads an `OrcaLoadReport`.
pub(super) fn of_message(message: &[u8], names: &Names) -> Result<LoadReport, Garbage> {
    bounded(message)?;
    let mut report = LoadReport::default();
    for field in Fields::of(message) {
        let (number, value) = field?;
        let name = match number {
            1 => CPU,
            6 => RATE,
            7 => ERRORS,
            8 => {
                let Value::Bytes(entry) = value else {
                    return Err(Malformed.into());
                };
                let (name, number) = named(entry)?;
                report = names.take_up(report, name, number)?;
                continue;
            }
            9 => APPLICATION,
            _ => continue,
        };
        let number = value.double().ok_or(Malformed)?;
        report = take_up(report, name, number)?;
    }
    Ok(report)
}

/// An entry of a `map<string, double>`.
fn named(entry: &[u8]) -> Result<(&[u8], f64), Garbage> {
    let (mut name, mut number) = (&[][..], 0.0);
    for field in Fields::of(entry) {
        match field? {
            (1, Value::Bytes(bytes)) => name = bytes,
            (2, value) => number = value.double().ok_or(Malformed)?,
            _ => {}
        }
    }
    Ok((name, number))
}

fn bounded(value: &[u8]) -> Result<(), Garbage> {
    match value.len() {
        length if length > LONGEST => Err(Garbage::TooLong(length)),
        _ => Ok(()),
    }
}

fn of_base64(value: &[u8], names: &Names) -> Result<LoadReport, Garbage> {
    let message = BASE64.decode(value.trim_ascii());
    of_message(&message.map_err(|_| Garbage::Unreadable("base64"))?, names)
}

fn of_text(text: &[u8], names: &Names) -> Result<LoadReport, Garbage> {
    let unreadable = || Garbage::Unreadable("TEXT");
    let text = str::from_utf8(text).map_err(|_| unreadable())?;
    let mut report = LoadReport::default();
    for pair in text.split(',') {
        let (name, number) = pair.split_once('=').ok_or_else(unreadable)?;
        let number = number.trim().parse().map_err(|_| unreadable())?;
        report = match name.trim().strip_prefix("named_metrics.") {
            Some(name) => names.take_up(report, name.as_bytes(), number)?,
            None => take_up(report, name.trim(), number)?,
        };
    }
    Ok(report)
}

/// As proto3 has it in JSON: names as they are or in camel case, and numbers that may be in quotes.
fn of_json(json: &[u8], names: &Names) -> Result<LoadReport, Garbage> {
    let unreadable = || Garbage::Unreadable("JSON");
    let json: serde_json::Value = serde_json::from_slice(json).map_err(|_| unreadable())?;
    let fields = json.as_object().ok_or_else(unreadable)?;
    let number = |value: &serde_json::Value| match value {
        serde_json::Value::String(text) => text.parse().ok(),
        value => value.as_f64(),
    };
    let mut report = LoadReport::default();
    for (name, value) in fields {
        let name = match &**name {
            "cpuUtilization" | CPU => CPU,
            "applicationUtilization" | APPLICATION => APPLICATION,
            "rpsFractional" | RATE => RATE,
            ERRORS => ERRORS,
            "namedMetrics" | "named_metrics" => {
                for (name, value) in value.as_object().ok_or_else(unreadable)? {
                    let number = number(value).ok_or_else(unreadable)?;
                    report = names.take_up(report, name.as_bytes(), number)?;
                }
                continue;
            }
            _ => continue,
        };
        report = take_up(report, name, number(value).ok_or_else(unreadable)?)?;
    }
    Ok(report)
}

const CPU: &str = "cpu_utilization";
const APPLICATION: &str = "application_utilization";
const RATE: &str = "rps_fractional";
const ERRORS: &str = "eps";

fn take_up(report: LoadReport, name: &str, number: f64) -> Result<LoadReport, Garbage> {
    Ok(match name {
        CPU => report.with_cpu_utilization(Utilization::new(number)?),
        APPLICATION => report.with_application_utilization(Utilization::new(number)?),
        RATE => report.with_requests_per_second(Rate::new(number)?),
        ERRORS => report.with_errors_per_second(Rate::new(number)?),
        _ => report,
    })
}

impl Names {
    fn take_up(&self, report: LoadReport, name: &[u8], number: f64) -> Result<LoadReport, Garbage> {
        let is = |one: &Option<std::sync::Arc<str>>| {
            one.as_ref().is_some_and(|one| one.as_bytes() == name)
        };
        if is(&self.requests_in_flight) {
            // A number of requests that is one: neither negative nor beyond reason, and whole enough.
            let requests = Rate::new(number)?.value().round() as u32;
            return Ok(report.with_requests_in_flight(requests));
        }
        if is(&self.latency) {
            let latency = Duration::try_from_secs_f64(number);
            let latency = latency.map_err(|_| Garbage::Unreadable("a latency in seconds"))?;
            return Ok(report.with_latency(latency));
        }
        Ok(report)
    }
}

#[cfg(test)]
mod tests;
