//! Checks of single values, each with a reason that a person can act on.

use super::network::PageLink;

/// `http://host[:port]` or `https://host[:port]`, without a path: where SNS reaches this node.
pub(super) fn base_url(text: &str) -> Result<String, String> {
    let url: axum::http::Uri = text.parse().map_err(|_| "expected a URL such as http://10.0.0.7:8080".to_owned())?;
    match url.scheme_str() {
        Some("http" | "https") => {}
        _ => return Err("expected a URL that begins with http:// or https://".into()),
    }
    if url.host().is_none_or(|host| host.contains('_')) {
        return Err("SNS does not deliver to host names with an underscore".into());
    }
    if url.path() != "/" || url.query().is_some() {
        return Err("expected a URL without a path".into());
    }
    Ok(text.trim_end_matches('/').to_owned())
}

/// `NAME=URL`.
pub(super) fn page_link(text: &str) -> Result<PageLink, String> {
    let (name, url) = text.split_once('=').ok_or("expected NAME=URL")?;
    if name.is_empty() {
        return Err("the link's name is empty".into());
    }
    let parsed: axum::http::Uri = url.parse().map_err(|_| format!("{url} is no URL"))?;
    match parsed.scheme_str() {
        Some("http" | "https") => Ok(PageLink { name: name.to_owned(), url: url.to_owned() }),
        _ => Err("the link's URL begins with http:// or https://".into()),
    }
}

/// `HOST:PORT`, as it stands in a URL.
pub(super) fn host_and_port(text: &str) -> Result<String, String> {
    let authority: axum::http::uri::Authority =
        text.parse().map_err(|_| "expected a host and a port such as 10.0.0.7:8090".to_owned())?;
    let usable = authority.port_u16().is_some_and(|port| port != 0) && !text.contains('@');
    if usable { Ok(text.to_owned()) } else { Err("expected a host and a port such as 10.0.0.7:8090".to_owned()) }
}
