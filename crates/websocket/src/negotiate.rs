/// The extension's name.
const NAME: &str = "permessage-deflate";

/// How client and server will compress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Agreed {
    /// The value of the answer's `Sec-WebSocket-Extensions`.
    pub response: String,
    /// The client reads with a window of 2 to this many bytes, 8 to 15.
    pub window_bits: u8,
}

/// Chooses the first acceptable offer among those of all `Sec-WebSocket-Extensions` headers, in their order; `None` when
/// there is none. An offer with a parameter that is unknown, doubled or malformed is passed over, as RFC 7692 demands.
///
/// Whatever was offered, neither side carries anything from one message to the next: a server may ask that of a client, and
/// it is why one inflater serves thousands of connections.
pub fn negotiate_deflate<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Agreed> {
    let mut headers = headers;
    headers.find_map(|header| split(header, b',').find_map(consider))
}

fn consider(offer: &str) -> Option<Agreed> {
    let mut parts = split(offer, b';');
    if parts.next()?.trim_matches(BLANKS) != NAME {
        return None;
    }
    let mut seen = Vec::new();
    let mut server_bits = None;
    for part in parts {
        let (name, value) = parameter(part)?;
        if seen.contains(&name) {
            return None;
        }
        seen.push(name);
        match (name, value) {
            ("server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits", None) => {}
            ("client_max_window_bits", Some(value)) => _ = window_bits(value)?,
            ("server_max_window_bits", Some(value)) => server_bits = Some(window_bits(value)?),
            _ => return None,
        }
    }
    let mut response = format!("{NAME}; server_no_context_takeover; client_no_context_takeover");
    if let Some(bits) = server_bits {
        response += &format!("; server_max_window_bits={bits}");
    }
    Some(Agreed { response, window_bits: server_bits.unwrap_or(15) })
}

const BLANKS: [char; 2] = [' ', '\t'];

/// A parameter's name and value; `None` when it is malformed. A value may stand in quotes.
fn parameter(part: &str) -> Option<(&str, Option<&str>)> {
    let Some((name, value)) = part.split_once('=') else { return Some((part.trim_matches(BLANKS), None)) };
    let value = value.trim_matches(BLANKS);
    let value = match value.strip_prefix('"') {
        Some(quoted) => quoted.strip_suffix('"')?,
        None => value,
    };
    Some((name.trim_matches(BLANKS), Some(value)))
}

/// 8 to 15, in decimal without leading zeros.
fn window_bits(value: &str) -> Option<u8> {
    let decimal = !value.starts_with('0') && value.bytes().all(|byte| byte.is_ascii_digit());
    value.parse().ok().filter(|bits| decimal && (8..=15).contains(bits))
}

/// The parts of a header's value between separators that do not stand in quotes.
fn split(value: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let end = end_of_part(text, separator);
        rest = text.get(end + 1..);
        Some(&text[..end])
    })
}

fn end_of_part(text: &str, separator: u8) -> usize {
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if byte == separator && !quoted => return at,
            _ => {}
        }
    }
    text.len()
}
