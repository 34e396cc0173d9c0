use std::collections::HashMap;

use clap::Parser;

use super::*;
use crate::config::Config;

const ALL: Rules<'_> = Rules { deflate: false, origins: &AllowedOrigins::ALL };

/// RFC 6455, 1.3, with these headers beside or instead.
fn request(others: &[(HeaderName, &'static str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        (header::CONNECTION, "keep-alive, Upgrade"),
        (header::UPGRADE, "WebSocket"),
        (header::SEC_WEBSOCKET_VERSION, "13"),
        (header::SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ=="),
        (header::HOST, "chat.example:8080"),
    ]
    .iter()
    .chain(others)
    {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
}

fn read(others: &[(HeaderName, &'static str)]) -> Result<Handshake, NoHandshake> {
    judge(&request(others), "*")
}

fn judge(headers: &HeaderMap, origins: &str) -> Result<Handshake, NoHandshake> {
    let needed = ["x", "--topic-arn", "arn:aws:sns:us-east-1:123456789012:t", "--sns-endpoint", "http://127.0.0.1:1"];
    let config = Config::try_parse_from(needed.iter().chain(&["--allowed-origins", origins])).unwrap();
    let origins = &config.limits.limits().unwrap().http.origins;
    Handshake::of(&Method::GET, Version::HTTP_11, headers, Rules { deflate: true, origins })
}

/// The same with one more line.
fn with(others: &[(HeaderName, &'static str)]) -> Result<Handshake, NoHandshake> {
    let mut headers = request(&[]);
    others.iter().for_each(|(name, value)| _ = headers.append(name, HeaderValue::from_static(value)));
    judge(&headers, "*")
}

#[test]
fn the_answer_holds_the_key_and_what_was_agreed_on() {
    let handshake = read(&[(header::SEC_WEBSOCKET_PROTOCOL, "x, roomcast.v1")]).unwrap();
    let response = handshake.response();
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()[header::SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(response.headers()[header::SEC_WEBSOCKET_PROTOCOL], "roomcast.v1");
    assert!(!response.headers().contains_key(header::SEC_WEBSOCKET_EXTENSIONS));
    let answer = String::from_utf8(handshake.answer()).unwrap();
    let (status, headers) = answer.strip_suffix("\r\n\r\n").unwrap().split_once("\r\n").unwrap();
    assert_eq!(status, "HTTP/1.1 101 Switching Protocols");
    let headers: HashMap<&str, &str> = headers.lines().map(|line| line.split_once(": ").unwrap()).collect();
    let same = response.headers().iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap()));
    assert_eq!(headers, same.collect(), "the same for the wire");
}

#[test]
fn compression_is_agreed_on_only_where_it_is_wanted() {
    let offer = [(header::SEC_WEBSOCKET_EXTENSIONS, "permessage-deflate; client_max_window_bits")];
    let agreed = read(&offer).unwrap();
    assert_eq!(agreed.deflate_window, Some(1 << 15));
    let narrow = [(header::SEC_WEBSOCKET_EXTENSIONS, "permessage-deflate; server_max_window_bits=10")];
    assert_eq!(read(&narrow).unwrap().deflate_window, Some(1 << 10));
    assert!(agreed.response().headers().contains_key(header::SEC_WEBSOCKET_EXTENSIONS));
    let refused = Handshake::of(&Method::GET, Version::HTTP_11, &request(&offer), ALL).unwrap();
    assert_eq!((refused.deflate_window, refused.extension), (None, None));
}

#[test]
fn a_bearers_token_is_seen_and_not_answered() {
    let handshake = read(&[(header::SEC_WEBSOCKET_PROTOCOL, "bearer.abc")]).unwrap();
    assert!(handshake.bearer && !handshake.response().headers().contains_key(header::SEC_WEBSOCKET_PROTOCOL));
}

#[test]
fn what_is_no_handshake_is_told_why() {
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    let mut hostless = request(&[]);
    hostless.remove(header::HOST);
    let cases = [
        (read(&[(header::UPGRADE, "h2c")]), NoHandshake::NotAsked, 426),
        (read(&[(header::CONNECTION, "close")]), NoHandshake::NotAsked, 426),
        (Handshake::of(&Method::POST, Version::HTTP_11, &request(&[]), ALL), NoHandshake::NotAsked, 426),
        (read(&[(header::SEC_WEBSOCKET_VERSION, "8")]), NoHandshake::Version, 426),
        (with(&[(header::SEC_WEBSOCKET_VERSION, "13")]), NoHandshake::Version, 426),
        (Handshake::of(&Method::GET, Version::HTTP_10, &request(&[]), ALL), NoHandshake::Http, 400),
        (read(&[(header::SEC_WEBSOCKET_KEY, "short")]), NoHandshake::Key, 400),
        (with(&[(header::SEC_WEBSOCKET_KEY, key)]), NoHandshake::Key, 400),
        (judge(&hostless, "*"), NoHandshake::Host, 400),
        (with(&[(header::HOST, "chat.example:8080")]), NoHandshake::Host, 400),
        (read(&[(header::HOST, "a b")]), NoHandshake::Host, 400),
        (read(&[(header::HOST, "me@chat.example")]), NoHandshake::Host, 400),
        (read(&[(header::CONTENT_LENGTH, "1")]), NoHandshake::Body, 400),
        (read(&[(header::TRANSFER_ENCODING, "chunked")]), NoHandshake::Body, 400),
        (read(&[(header::SEC_WEBSOCKET_PROTOCOL, "graphql-ws")]), NoHandshake::Subprotocol, 400),
        (read(&[(header::SEC_WEBSOCKET_PROTOCOL, "roomcast.v2, ROOMCAST.V1")]), NoHandshake::Subprotocol, 400),
    ];
    for (found, expected, status) in cases {
        assert_eq!(found.as_ref().unwrap_err(), &expected);
        let response = found.unwrap_err().response();
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(response.headers().contains_key(header::SEC_WEBSOCKET_VERSION), status == 426);
    }
    assert!(read(&[(header::CONTENT_LENGTH, "0")]).is_ok());
    assert!(read(&[(header::SEC_WEBSOCKET_PROTOCOL, "")]).is_ok(), "nothing is offered");
}

#[test]
fn a_known_subprotocol_is_found_among_others_and_in_several_lines() {
    let lines =
        [(header::SEC_WEBSOCKET_PROTOCOL, "graphql-ws"), (header::SEC_WEBSOCKET_PROTOCOL, "bearer.abc,roomcast.v1")];
    let handshake = with(&lines).unwrap();
    assert!(handshake.bearer);
    assert_eq!(handshake.response().headers()[header::SEC_WEBSOCKET_PROTOCOL], "roomcast.v1");
}

#[test]
fn only_pages_of_other_origins_are_refused() {
    let origins = "https://chat.example,http://localhost:8080";
    let from = |origin| judge(&request(&[(header::ORIGIN, origin)]), origins);
    assert!(from("https://chat.example").is_ok());
    assert!(judge(&request(&[]), origins).is_ok(), "it is no browser");
    for other in ["https://evil.example", "null", "https://chat.example.evil.example", ""] {
        assert_eq!(from(other), Err(NoHandshake::Origin), "{other}");
    }
    assert_eq!(NoHandshake::Origin.response().status(), StatusCode::FORBIDDEN);
    let mut two = request(&[(header::ORIGIN, "https://chat.example")]);
    two.append(header::ORIGIN, HeaderValue::from_static("https://evil.example"));
    assert_eq!(judge(&two, origins), Err(NoHandshake::Origin));
    assert!(read(&[(header::ORIGIN, "https://evil.example")]).is_ok(), "all are allowed unless some are named");
}
