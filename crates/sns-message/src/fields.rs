use std::borrow::Cow;

use serde::Deserialize;

use crate::SnsMessageError;

/// The fields of a post that anything depends on; others are skipped.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Fields<'a> {
    #[serde(borrow)]
    pub(crate) r#type: Cow<'a, str>,
    pub(crate) message_id: String,
    pub(crate) topic_arn: String,
    pub(crate) subject: Option<String>,
    pub(crate) message: String,
    pub(crate) timestamp: String,
    #[serde(borrow)]
    pub(crate) signature_version: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) signature: Cow<'a, str>,
    #[serde(rename = "SigningCertURL")]
    pub(crate) signing_cert_url: String,
    pub(crate) token: Option<String>,
    #[serde(rename = "SubscribeURL")]
    pub(crate) subscribe_url: Option<String>,
}

impl<'a> Fields<'a> {
    pub(crate) fn parse(body: &'a [u8]) -> Result<Self, SnsMessageError> {
        let body = str::from_utf8(body).map_err(|_| SnsMessageError::Field("not UTF-8"))?;
        // serde would take an array for the fields in their order, and quote a whole string in its refusal.
        if !body.trim_ascii_start().starts_with('{') {
            return Err(SnsMessageError::Field("not a JSON object"));
        }
        Ok(serde_json::from_str(body)?)
    }
}
