//! Lines of daemons' logs, and when each was written.

use engine::operations::dialect::LogPart;
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub time: Option<Timestamp>,
    /// `web-1 apache2`.
    pub label: String,
    pub text: String,
}

/// A line without a time of its own belongs to the one before it.
pub(super) fn lines(part: &LogPart) -> Vec<Line> {
    let label = format!("{} {}", part.machine, part.service);
    let mut last = None;
    let lines = part.text.lines().map(|text| {
        last = time(text).or(last);
        Line { time: last, label: label.clone(), text: text.to_owned() }
    });
    lines.collect()
}

/// When a line was written, in the forms of Apache (`ErrorLogFormat`, `%t`), PHP, PHP-FPM, and MongoDB (structured logging).
fn time(line: &str) -> Option<Timestamp> {
    let utc = |time: DateTime| time.to_zoned(TimeZone::UTC).ok().map(|zoned| zoned.timestamp());
    let local = |time: DateTime| time.to_zoned(TimeZone::system()).ok().map(|zoned| zoned.timestamp());
    if let Some(rest) = line.split_once("\"$date\":\"").map(|(_, rest)| rest) {
        return rest.split('"').next()?.parse().ok();
    }
    let bracketed = line.split_once('[')?.1.split_once(']')?.0;
    // `27/Nov/2026:05:00:00 +0000`
    if let Ok(zoned) = jiff::fmt::strtime::parse("%d/%b/%Y:%H:%M:%S %z", bracketed).and_then(|it| it.to_timestamp()) {
        return Some(zoned);
    }
    // `27-Nov-2026 05:00:00 UTC`
    if let Some(text) = bracketed.strip_suffix(" UTC") {
        return utc(DateTime::strptime("%d-%b-%Y %H:%M:%S", text).ok()?);
    }
    // `27-Nov-2026 05:00:00`, and `Fri Nov 27 05:00:00.123456 2026`
    DateTime::strptime("%d-%b-%Y %H:%M:%S", bracketed)
        .or_else(|_| DateTime::strptime("%a %b %d %H:%M:%S%.f %Y", bracketed))
        .ok()
        .and_then(local)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_daemon_says_when_in_its_own_way() {
        let at = |line: &str| time(line).map(|time| time.to_string());
        let expected = Some("2026-11-27T05:00:01Z".to_owned());
        assert_eq!(at("127.0.0.1 [27/Nov/2026:06:00:01 +0100] \"GET / HTTP/1.1\" 200 2 143"), expected);
        assert_eq!(at("[27-Nov-2026 05:00:01 UTC] PHP Warning:  x in y on line 1"), expected);
        assert_eq!(at("{\"t\":{\"$date\":\"2026-11-27T06:00:01.000+01:00\"},\"s\":\"I\"}"), expected);
        assert!(at("[27-Nov-2026 05:00:01] NOTICE: ready").is_some());
        assert!(at("[Fri Nov 27 05:00:01.123456 2026] [mpm_event:notice] x").is_some());
        assert_eq!(at("[NOTICE]   (12) : Loading success."), None);
        assert_eq!(at("Stack trace:"), None);
    }

    #[test]
    fn a_line_without_a_time_stays_with_the_one_before() {
        let text = "[27-Nov-2026 05:00:01 UTC] PHP Fatal error: x\n#0 {main}\n".to_owned();
        let (machine, service) = ("web-1".to_owned(), "php-fpm".to_owned());
        let found = lines(&LogPart { machine, service, path: String::new(), text });
        assert_eq!(found[0].time, found[1].time);
        assert_eq!(found[1].label, "web-1 php-fpm");
    }
}
