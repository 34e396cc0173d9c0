//! The two answers of the handshake.

use websocket::{Agreed, accept_key, is_key, negotiate_deflate};

const BOTH: &str = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";

fn negotiate(offers: &str) -> Option<Agreed> {
    negotiate_deflate(std::iter::once(offers))
}

#[test]
fn the_key_of_the_rfc_is_accepted_with_the_answer_of_the_rfc() {
    // RFC 6455, 1.3.
    assert_eq!(accept_key("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

#[test]
fn a_key_is_sixteen_bytes_in_base64() {
    assert!(is_key("dGhlIHNhbXBsZSBub25jZQ=="));
    assert!(is_key("AAAAAAAAAAAAAAAAAAAA/+=="));
    for wrong in [
        "",
        "dGhlIHNhbXBsZSBub25jZQ",
        "dGhlIHNhbXBsZSBub25jZQ= ",
        "dGhlIHNhbXBsZSBub25jZQo=",
        "dGhlIHNhbXBsZSBub25j===",
    ] {
        assert!(!is_key(wrong), "{wrong}");
    }
    assert!(!is_key("dGhlIHNhbXBsZSBub25jZQ==dGhl"));
    assert!(!is_key("ä".repeat(12).as_str()));
}

#[test]
fn whatever_is_offered_nothing_is_carried_between_messages() {
    for offer in [
        "permessage-deflate",
        " permessage-deflate ; client_max_window_bits",
        "permessage-deflate; client_max_window_bits=8",
        "permessage-deflate; client_max_window_bits=\"15\"",
        "permessage-deflate;client_no_context_takeover;server_no_context_takeover",
        "x-webkit-deflate-frame, permessage-deflate",
        "",
    ] {
        let expected = (!offer.is_empty()).then(|| Agreed { response: BOTH.to_owned(), window_bits: 15 });
        assert_eq!(negotiate(offer), expected, "{offer}");
    }
}

#[test]
fn a_client_may_ask_for_a_smaller_window() {
    for bits in 8..=15 {
        let response = format!("{BOTH}; server_max_window_bits={bits}");
        let offer = format!("permessage-deflate; server_max_window_bits={bits}; client_max_window_bits");
        assert_eq!(negotiate(&offer), Some(Agreed { response, window_bits: bits }));
    }
}

#[test]
fn malformed_and_unknown_parameters_are_declined() {
    for offer in [
        "deflate-frame",
        "permessage-deflate2",
        "permessage-deflate=1",
        "permessage-deflate; unknown",
        "permessage-deflate;",
        "permessage-deflate; server_max_window_bits",
        "permessage-deflate; server_max_window_bits=7",
        "permessage-deflate; server_max_window_bits=16",
        "permessage-deflate; server_max_window_bits=08",
        "permessage-deflate; server_max_window_bits=+8",
        "permessage-deflate; server_max_window_bits=",
        "permessage-deflate; server_max_window_bits=\"8",
        "permessage-deflate; client_max_window_bits=16",
        "permessage-deflate; client_max_window_bits=8; client_max_window_bits=8",
        "permessage-deflate; client_no_context_takeover=1",
        "permessage-deflate; server_no_context_takeover=\"\"",
        "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
        "permessage-deflate; x=\", permessage-deflate; client_max_window_bits\"",
        "permessage-deflate; x=\"\\\", permessage-deflate\"",
    ] {
        assert_eq!(negotiate(offer), None, "{offer}");
    }
}

#[test]
fn the_first_acceptable_offer_of_all_headers_is_taken() {
    let headers = [
        "x-unknown, permessage-deflate; unknown",
        "permessage-deflate; server_max_window_bits=99, permessage-deflate; server_max_window_bits=10, permessage-deflate",
        "permessage-deflate; server_max_window_bits=9",
    ];
    assert_eq!(negotiate_deflate(headers.into_iter()).unwrap().window_bits, 10);
}
