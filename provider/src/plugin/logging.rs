//! Log lines for the host: one JSON object a line on standard error, in the form of go-hclog, which the host
//! filters by TF_LOG. `@message`, `@level` and `@timestamp` must be strings: Terraform panics on anything else.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value as Json};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

pub(super) fn start() {
    let filter = tracing_subscriber::EnvFilter::new("info,provider=trace,api=trace,progress=info");
    // A second start can only be a test's.
    let _ = tracing_subscriber::registry().with(filter).with(HclogLayer).try_init();
}

struct HclogLayer;

impl<S: Subscriber> Layer<S> for HclogLayer {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => "error",
            Level::WARN => "warn",
            Level::INFO => "info",
            Level::DEBUG => "debug",
            Level::TRACE => "trace",
        };
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        let mut line = fields.0;
        line.entry("@message").or_insert_with(|| "".into());
        line.insert("@level".to_owned(), level.into());
        line.insert("@module".to_owned(), event.metadata().target().into());
        line.insert("@timestamp".to_owned(), timestamp().into());
        // Nobody is left to tell if standard error is gone.
        let _ = writeln!(std::io::stderr().lock(), "{}", Json::Object(line));
    }
}

struct Fields(Map<String, Json>);

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let mut text = String::new();
        write!(text, "{value:?}").expect("a String takes everything");
        self.insert(field, text);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.insert(field, value.to_owned());
    }
}

impl Fields {
    fn insert(&mut self, field: &Field, text: String) {
        let name = if field.name() == "message" { "@message" } else { field.name() };
        self.0.insert(name.to_owned(), text.into());
    }
}

/// `2006-01-02T15:04:05.000000Z`, by the civil-from-days rule of the proleptic Gregorian calendar.
fn timestamp() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (seconds, micros) = (now.as_secs() as i64, now.subsec_micros());
    let days = seconds.div_euclid(86_400) + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let time = seconds.rem_euclid(86_400);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{micros:06}Z", time / 3600, time / 60 % 60, time % 60)
}
