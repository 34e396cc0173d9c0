//! A connection to Redis: RESP3, so that one carries what is said and what is heard.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use redis::aio::{AsyncPushSender, MultiplexedConnection};
use redis::{AsyncConnectionConfig, ProtocolVersion, RedisConnectionInfo, RedisError};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::RedisAddress;
use crate::backplane::certificate::TrustRoots;

/// For an answer: later it helps nobody.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// Where Redis is, and all that is needed to get there.
pub(crate) struct Target {
    pub(super) address: RedisAddress,
    settings: RedisConnectionInfo,
    tls: Option<TlsConnector>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    #[error("{0}")]
    Unreachable(#[from] io::Error),
    #[error("{0}")]
    Refused(#[from] RedisError),
}

/// A connection, and what must be driven for it to live.
pub(super) type Connected = (MultiplexedConnection, BoxFuture<'static, ()>);

impl Target {
    /// `roots` vouch for Redis if the connection is TLS.
    ///
    /// # Errors
    /// When rustls refuses its own defaults.
    pub(crate) fn new(address: RedisAddress, roots: &TrustRoots) -> Result<Self, rustls::Error> {
        let tls = if address.tls { Some(TlsConnector::from(Arc::new(roots.client_config()?))) } else { None };
        // A name for the library is one more command that a user would have to be allowed.
        let mut settings = RedisConnectionInfo::default().set_protocol(ProtocolVersion::RESP3).set_skip_set_lib_name();
        if let Some(user) = &address.user {
            settings = settings.set_username(user);
        }
        if let Some(password) = &address.password {
            settings = settings.set_password(password);
        }
        Ok(Self { address, settings, tls })
    }

    /// Connects; not bounded in time. What Redis pushes goes to `hear`.
    pub(super) async fn connect(&self, hear: impl AsyncPushSender) -> Result<Connected, ConnectError> {
        let RedisAddress { host, port, .. } = &self.address;
        let tcp = TcpStream::connect((host.as_str(), *port)).await?;
        tcp.set_nodelay(true)?;
        let Some(tls) = &self.tls else { return self.greet(tcp, hear).await };
        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
        self.greet(tls.connect(name, tcp).await?, hear).await
    }

    async fn greet<S>(&self, stream: S, hear: impl AsyncPushSender) -> Result<Connected, ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(ANSWER_WITHIN)).set_push_sender(hear);
        let (connection, driver) = MultiplexedConnection::new_with_config(&self.settings, stream, config).await?;
        Ok((connection, driver.boxed()))
    }
}
