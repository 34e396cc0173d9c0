use std::path::PathBuf;

use clap::Args;

use super::secret::SecretText;
use crate::link::accelerator::{RedisAddress, RedisAddressError};

/// The accelerator: optional.
#[derive(Debug, Clone, Args)]
pub struct RedisConfig {
    /// Redis (6 or later) or Valkey, through which nodes tell each other too: `redis://[user[:password]@]host[:port]`, or `rediss://…` for TLS; needs a cluster key
    #[arg(long, env = "ROOMCAST_REDIS_URL", value_name = "URL", hide_env_values = true, allow_hyphen_values = true)]
    pub redis_url: Option<SecretText>,
    /// Password for Redis, if the URL has none
    #[arg(
        long,
        env = "ROOMCAST_REDIS_PASSWORD",
        value_name = "PASSWORD",
        hide_env_values = true,
        allow_hyphen_values = true
    )]
    pub redis_password: Option<SecretText>,
    /// Root certificates (PEM) that vouch for Redis, instead of Mozilla's
    #[arg(long, env = "ROOMCAST_REDIS_TRUST_ROOT", value_name = "FILE")]
    pub redis_trust_root: Option<PathBuf>,
}

/// Flags about Redis that cannot be right.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RedisConfigError {
    /// No URL, or not of Redis.
    #[error("--redis-url: {0}")]
    Url(#[from] RedisAddressError),
    /// Payloads are signed.
    #[error("--redis-url needs --cluster-key: what nodes say through Redis is signed")]
    WithoutKey,
    /// A password for what?
    #[error("--redis-password needs --redis-url")]
    PasswordWithoutUrl,
    /// Roots for what?
    #[error("--redis-trust-root needs a --redis-url that begins with rediss://")]
    RootWithoutTls,
}

impl RedisConfig {
    /// Where Redis is; `None`: there is none.
    ///
    /// # Errors
    /// `RedisConfigError` names the flag; it never shows a URL or a password.
    pub fn address(&self) -> Result<Option<RedisAddress>, RedisConfigError> {
        let password = self.redis_password.as_ref().map(SecretText::text);
        let address = match &self.redis_url {
            Some(url) => Some(RedisAddress::parse(url.text(), password)?),
            None if password.is_some() => return Err(RedisConfigError::PasswordWithoutUrl),
            None => None,
        };
        if self.redis_trust_root.is_some() && !address.as_ref().is_some_and(RedisAddress::is_tls) {
            return Err(RedisConfigError::RootWithoutTls);
        }
        Ok(address)
    }
}
