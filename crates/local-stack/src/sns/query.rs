//! The AWS Query protocol, the part that asks: form fields whose names spell out lists and maps
//! (<https://docs.aws.amazon.com/sns/latest/dg/sns-making-api-requests.html>).

use std::collections::BTreeMap;

use super::xml::ApiError;

/// The fields of one request.
#[derive(Debug, Default)]
pub(super) struct Query(BTreeMap<String, String>);

impl Query {
    /// Reads fields from a form body or the query part of a URL. A repeated name: the last one counts.
    pub(super) fn parse(form: &[u8]) -> Self {
        Self(form_urlencoded::parse(form).map(|(name, value)| (name.into_owned(), value.into_owned())).collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// The field, which must be there and not be empty.
    pub(super) fn require(&self, name: &str) -> Result<&str, ApiError> {
        self.get(name)
            .filter(|value| !value.is_empty())
            .ok_or_else(|| ApiError::invalid(format!("Invalid parameter: {name} Reason: no value")))
    }

    /// `Name.entry.N.key` and `.value`, for all N from 1.
    pub(super) fn map(&self, name: &str) -> BTreeMap<&str, &str> {
        (1..)
            .map_while(|n| {
                let key = self.get(&format!("{name}.entry.{n}.key"))?;
                Some((key, self.get(&format!("{name}.entry.{n}.value")).unwrap_or_default()))
            })
            .collect()
    }

    /// The members of a list of structures, each as a query of its own: `Name.member.N.Field`, for all N from 1.
    pub(super) fn members(&self, name: &str) -> Vec<Self> {
        (1..)
            .map(|n| {
                let prefix = format!("{name}.member.{n}.");
                let fields = self.0.range(prefix.clone()..).take_while(|(field, _)| field.starts_with(&prefix));
                Self(fields.map(|(field, value)| (field[prefix.len()..].to_owned(), value.clone())).collect())
            })
            .take_while(|member| !member.0.is_empty())
            .collect()
    }

    /// Whether any field begins with this name.
    pub(super) fn mentions(&self, name: &str) -> bool {
        self.0.range(name.to_owned()..).next().is_some_and(|(field, _)| field.starts_with(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_maps_are_put_together_from_their_fields() {
        let query = Query::parse(
            b"Action=PublishBatch&E.member.1.Id=a&E.member.1.Message=x+y%26z&E.member.2.Id=b&E.member.10.Id=lost\
              &Attributes.entry.1.key=K&Attributes.entry.1.value=%7B%7D",
        );
        assert_eq!(query.get("Action"), Some("PublishBatch"));
        let members = query.members("E");
        assert_eq!(members.len(), 2);
        assert_eq!(members[0].get("Message"), Some("x y&z"));
        assert_eq!(members[1].get("Id"), Some("b"));
        assert_eq!(query.map("Attributes"), BTreeMap::from([("K", "{}")]));
    }

    #[test]
    fn a_missing_or_empty_field_is_an_invalid_parameter() {
        let query = Query::parse(b"Token=");
        assert_eq!(query.require("Token").unwrap_err().code, "InvalidParameter");
        assert_eq!(query.require("TopicArn").unwrap_err().code, "InvalidParameter");
    }
}
