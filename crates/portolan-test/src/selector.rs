//! Label and field selectors.
//!
//! The syntax is that of the API: `app=db,tier in (a, b),!canary` for labels,
//! `metadata.name=db-0,status.phase!=Running` for fields.

use serde_json::Value;

use crate::json;

/// Requirements on labels, all of which must hold. Without any, everything matches.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct LabelSelector {
    requirements: Vec<Requirement>,
}

/// Requirements on a few fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FieldSelector {
    requirements: Vec<Requirement>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Requirement {
    key: String,
    condition: Condition,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    In(Vec<String>),
    /// Also holds if there is no value at all.
    NotIn(Vec<String>),
    Exists,
    Absent,
}

impl Condition {
    fn holds(&self, value: Option<&str>) -> bool {
        let among = |values: &[String]| value.is_some_and(|v| values.iter().any(|w| w == v));
        match self {
            Self::In(values) => among(values),
            Self::NotIn(values) => !among(values),
            Self::Exists => value.is_some(),
            Self::Absent => value.is_none(),
        }
    }
}

impl LabelSelector {
    /// Parses the text of a `labelSelector` parameter.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let requirements = split_outside_parentheses(text)
            .map(parse_label_requirement)
            .collect::<Result<_, _>>()?;
        Ok(Self { requirements })
    }

    /// Reads the `selector` of a Service: plain equality. `None` if it selects nothing itself.
    pub(crate) fn of_service(service: &Value) -> Option<Self> {
        let requirements: Vec<_> = json::entries(service, "/spec/selector")
            .map(|(key, value)| Requirement {
                key: key.to_owned(),
                condition: Condition::In(vec![value.to_owned()]),
            })
            .collect();
        (!requirements.is_empty()).then_some(Self { requirements })
    }

    /// Whether `object` has labels that meet all requirements.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = json::label(object, &requirement.key);
            requirement.condition.holds(value)
        })
    }
}

impl FieldSelector {
    /// Parses the text of a `fieldSelector` parameter.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut requirements = Vec::new();
        for part in text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty())
        {
            let (key, condition) = parse_equality(part)
                .ok_or_else(|| format!("invalid selector: '{text}'; can't understand '{part}'"))?;
            if field_pointer(&key).is_none() {
                return Err(format!("field label not supported: {key}"));
            }
            requirements.push(Requirement { key, condition });
        }
        Ok(Self { requirements })
    }

    /// Whether `object` has fields that meet all requirements. An absent field is empty.
    pub(crate) fn matches(&self, object: &Value) -> bool {
        self.requirements.iter().all(|requirement| {
            let value = field_pointer(&requirement.key).map(|field| json::text(object, field));
            requirement.condition.holds(value)
        })
    }

    /// The only name that can match, if `metadata.name` is required: RBAC asks for it.
    pub(crate) fn only_name(&self) -> Option<&str> {
        self.requirements.iter().find_map(|requirement| {
            match (requirement.key.as_str(), &requirement.condition) {
                ("metadata.name", Condition::In(names)) => names.first().map(String::as_str),
                _ => None,
            }
        })
    }
}

/// The fields that the API can select by.
fn field_pointer(field: &str) -> Option<&'static str> {
    Some(match field {
        "metadata.name" => "/metadata/name",
        "metadata.namespace" => "/metadata/namespace",
        "spec.nodeName" => "/spec/nodeName",
        "status.phase" => "/status/phase",
        "status.podIP" => "/status/podIP",
        _ => return None,
    })
}

fn parse_label_requirement(part: &str) -> Result<Requirement, String> {
    let (key, condition) = parse_equality(part)
        .or_else(|| parse_set(part))
        .or_else(|| parse_presence(part))
        .filter(|(key, _)| is_label_key(key))
        .ok_or_else(|| format!("unable to parse requirement: '{part}'"))?;
    Ok(Requirement { key, condition })
}

/// `key=value`, `key==value`, `key!=value`.
fn parse_equality(part: &str) -> Option<(String, Condition)> {
    if part.contains('(') {
        return None;
    }
    let (key, value, equal) = if let Some((key, value)) = part.split_once("!=") {
        (key, value, false)
    } else if let Some((key, value)) = part.split_once("==") {
        (key, value, true)
    } else {
        let (key, value) = part.split_once('=')?;
        (key, value, true)
    };
    let values = vec![value.trim().to_owned()];
    let condition = if equal {
        Condition::In(values)
    } else {
        Condition::NotIn(values)
    };
    Some((key.trim().to_owned(), condition))
}

/// `key in (a, b)`, `key notin (a, b)`.
fn parse_set(part: &str) -> Option<(String, Condition)> {
    let (left, values) = part.strip_suffix(')')?.split_once('(')?;
    let values = values
        .split(',')
        .map(|value| value.trim().to_owned())
        .collect();
    let mut words = left.split_whitespace();
    let (key, operator) = (words.next()?, words.next()?);
    let condition = match (operator, words.next()) {
        ("in", None) => Condition::In(values),
        ("notin", None) => Condition::NotIn(values),
        _ => return None,
    };
    Some((key.to_owned(), condition))
}

/// `key`, `!key`.
fn parse_presence(part: &str) -> Option<(String, Condition)> {
    Some(match part.strip_prefix('!') {
        Some(key) => (key.trim().to_owned(), Condition::Absent),
        None => (part.to_owned(), Condition::Exists),
    })
}

fn is_label_key(key: &str) -> bool {
    !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/'))
}

/// The parts between commas that stand in no parentheses; empty ones are left out.
fn split_outside_parentheses(text: &str) -> impl Iterator<Item = &str> {
    let mut depth = 0_u32;
    text.split(move |c| {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        c == ',' && depth == 0
    })
    .map(str::trim)
    .filter(|part| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn matches(selector: &str) -> bool {
        let pod = json!({"metadata": {"labels": {"app": "db", "tier": "a", "example.com/x": ""}}});
        LabelSelector::parse(selector).unwrap().matches(&pod)
    }

    #[test]
    fn every_form_of_label_requirement() {
        for selector in [
            "",
            "app=db",
            "app==db,tier=a",
            "app != web",
            "absent!=x",
            "tier in (a, b), app",
            "tier notin (b,c)",
            "absent notin (x)",
            "!absent",
            "example.com/x",
            "example.com/x=",
        ] {
            assert!(matches(selector), "{selector}");
        }
        for selector in [
            "app=web",
            "app!=db",
            "absent",
            "!app",
            "tier in (b,c)",
            "tier notin (a)",
            "absent in (x)",
            "app=db,tier=b",
        ] {
            assert!(!matches(selector), "{selector}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for selector in ["a b", "in (x)", "x in (a", "=x", "a in b (c)"] {
            assert!(LabelSelector::parse(selector).is_err(), "{selector}");
        }
        let unknown = FieldSelector::parse("spec.colour=red").unwrap_err();
        assert_eq!(unknown, "field label not supported: spec.colour");
        assert!(FieldSelector::parse("metadata.name").is_err());
    }

    #[test]
    fn fields() {
        let pod = json!({"metadata": {"name": "db-0"}, "spec": {}});
        let matches = |text| FieldSelector::parse(text).unwrap().matches(&pod);
        assert!(matches("metadata.name=db-0,spec.nodeName="));
        assert!(matches("spec.nodeName!=node-1"));
        assert!(!matches("metadata.name!=db-0"));
        let selector = FieldSelector::parse("metadata.name=db-0").unwrap();
        assert_eq!(selector.only_name(), Some("db-0"));
    }
}
