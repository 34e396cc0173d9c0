use serde::Deserialize;

use crate::SnsMessageError;

/// The fields of a post that anything depends on; others are skipped.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Fields {
    pub(crate) r#type: String,
    pub(crate) message_id: String,
    pub(crate) topic_arn: String,
    pub(crate) subject: Option<String>,
    pub(crate) message: String,
    pub(crate) timestamp: String,
    pub(crate) signature_version: String,
    pub(crate) signature: String,
    #[serde(rename = "SigningCertURL")]
    pub(crate) signing_cert_url: String,
    pub(crate) token: Option<String>,
    #[serde(rename = "SubscribeURL")]
    pub(crate) subscribe_url: Option<String>,
}

impl Fields {
    pub(crate) fn parse(body: &[u8]) -> Result<Self, SnsMessageError> {
        let body = str::from_utf8(body).map_err(|_| SnsMessageError::Field("not UTF-8"))?;
        // serde would take an array for the fields in their order, and quote a whole string in its refusal.
        if !body.trim_ascii_start().starts_with('{') {
            return Err(SnsMessageError::Field("not a JSON object"));
        }
        Ok(serde_json::from_str(body)?)
    }
}
