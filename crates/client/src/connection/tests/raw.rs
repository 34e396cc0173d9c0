use super::*;

#[tokio::test]
async fn a_raw_socket_says_and_hears_anything() {
    let server = Server::start().await;
    let url = format!("{}/ws?x=1", server.url);
    let connecting = RawSocket::connect(&url, &[("sec-websocket-protocol", "roomcast.v1, bearer.t")]);
    let accepting = async {
        let (tcp, _) = server.listener.accept().await.unwrap();
        #[allow(clippy::result_large_err)] // tungstenite's own signature
        let callback = |_: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            response.headers_mut().insert("sec-websocket-protocol", "roomcast.v1".parse().unwrap());
            Ok(response)
        };
        tokio_tungstenite::accept_hdr_async(tcp, callback).await.unwrap()
    };
    let (raw, mut peer) = tokio::join!(Box::pin(connecting), Box::pin(accepting));
    let mut raw = raw.unwrap();
    assert_eq!(raw.subprotocol(), Some("roomcast.v1"));
    raw.send_text("hello").await.unwrap();
    raw.send_binary([1, 2]).await.unwrap();
    raw.send_frame(0x81, "x".repeat(70_000).as_bytes(), true).await.unwrap();
    raw.send_frame(0x01, b"two ", true).await.unwrap();
    raw.send_frame(0x80, b"parts", true).await.unwrap();
    assert_eq!(soon(peer.next()).await.unwrap().unwrap(), Message::text("hello"));
    assert_eq!(soon(peer.next()).await.unwrap().unwrap(), Message::binary(vec![1, 2]));
    assert_eq!(soon(peer.next()).await.unwrap().unwrap().len(), 70_000);
    assert_eq!(soon(peer.next()).await.unwrap().unwrap(), Message::text("two parts"));
    peer.send(Message::Ping("p".into())).await.unwrap();
    peer.send(Message::text(r#"{"type":"pong"}"#)).await.unwrap();
    peer.send(Message::binary(vec![7])).await.unwrap();
    assert!(matches!(raw.recv_frame(SOON).await, Ok(ServerFrame::Pong(_))), "pings are passed over");
    assert_eq!(raw.recv(SOON).await.unwrap(), Frame::Binary(vec![7]));
    raw.send_frame(0x81, &[0xff], true).await.unwrap();
    assert_eq!(soon(peer.next()).await.unwrap().unwrap(), Message::Pong("p".into()));
    peer.send(Message::Close(Some(CloseFrame { code: 1007.into(), reason: "why".into() }))).await.unwrap();
    assert!(soon(peer.next()).await.unwrap().is_err(), "invalid UTF-8 arrives as it was sent");
    let close = raw.recv_close(SOON).await.unwrap();
    assert_eq!(close, RawClose { code: Some(1007), reason: "why".into() });
    drop(peer);
    assert!(matches!(raw.recv(SOON).await.unwrap(), Frame::Closed(RawClose { code: None, .. })));
}

#[tokio::test]
async fn a_raw_socket_is_told_the_status_of_a_refusal_and_can_be_cut() {
    let server = Server::start().await;
    let (refused, ()) =
        tokio::join!(RawSocket::connect(&server.url, &[]), server.refuse(StatusCode::TOO_MANY_REQUESTS));
    assert!(matches!(refused, Err(RawError::Http(429))));
    let offer = [("sec-websocket-protocol", "roomcast.v1")];
    let (raw, mut peer) = tokio::join!(Box::pin(RawSocket::connect(&server.url, &offer)), Box::pin(server.accept()));
    let mut raw = raw.unwrap();
    assert!(matches!(raw.recv(Duration::from_millis(10)).await, Err(RawError::Timeout(_))));
    raw.cut();
    assert_eq!(peer.end().await, None);
}
