use std::time::SystemTime;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// Reads a time as SNS writes it: RFC 3339 in UTC (`2012-05-02T00:54:06.655Z`), with or without a fraction.
pub(crate) fn read(text: &str) -> Option<SystemTime> {
    // RFC 3339 itself allows offsets, and any character between date and time.
    let is_form_of_sns = text.ends_with('Z') && matches!(text.as_bytes().get(10), Some(b'T' | b't'));
    if !is_form_of_sns {
        return None;
    }
    OffsetDateTime::parse(text, &Rfc3339).ok().map(SystemTime::from)
}
