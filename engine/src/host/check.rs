//! What a provider promises, and whether it kept it.
//!
//! Rules of the protocol as Terraform's core applies them (`objchange/plan_valid.go`, `compatible.go`): a plan
//! may not contradict the configuration, and a result may not contradict the plan.

use value::schema::{Attribute, AttributeTy, Block};
use value::set::Seen;
use value::{Path, Step, Value};

/// Where a plan contradicts the configuration.
pub fn plan_violations(block: &Block, prior: &Value, config: &Value, planned: &Value) -> Vec<String> {
    let mut found = Vec::new();
    if planned.is_null() != config.is_null() {
        found.push("the plan is for an object that is null, or the other way round".to_owned());
        return found;
    }
    check_block(block, prior, config, planned, &Path::root(), &mut found);
    found
}

fn check_block(block: &Block, prior: &Value, config: &Value, planned: &Value, at: &Path, found: &mut Vec<String>) {
    for (name, attribute) in &block.attributes {
        let (Some(config), Some(planned)) = (config.get(name), planned.get(name)) else { continue };
        let path = at.then(Step::Attribute(name.clone()));
        check_attribute(attribute, prior.get(name), config, planned, &path, found);
    }
    for (name, nested) in &block.blocks {
        let (Some(config), Some(planned)) = (config.get(name), planned.get(name)) else { continue };
        let path = at.then(Step::Attribute(name.clone()));
        if !planned.is_known() {
            if config.is_known() {
                found.push(format!("{path}: blocks are planned as unknown, but the configuration knows them"));
            }
            continue;
        }
        match (config.as_items(), planned.as_items()) {
            (Some(config_items), Some(planned_items)) if !matches!(config, Value::Set(..)) => {
                if config.is_known() && config_items.len() != planned_items.len() {
                    found.push(format!(
                        "{path}: {} blocks are configured, {} are planned",
                        config_items.len(),
                        planned_items.len()
                    ));
                    continue;
                }
                let prior_items = prior.get(name).and_then(Value::as_items).unwrap_or_default();
                for (idx, (config, planned)) in config_items.iter().zip(planned_items).enumerate() {
                    let null = Value::Null(planned.ty());
                    let prior = prior_items.get(idx).unwrap_or(&null);
                    check_block(&nested.block, prior, config, planned, &path.then(Step::Index(idx)), found);
                }
            }
            _ => {}
        }
    }
}

fn check_attribute(
    attribute: &Attribute,
    prior: Option<&Value>,
    config: &Value,
    planned: &Value,
    path: &Path,
    found: &mut Vec<String>,
) {
    if attribute.write_only {
        if !planned.is_null() {
            found.push(format!("{path}: {WRITE_ONLY}"));
        }
        return;
    }
    if planned == config || (!config.is_known() && !planned.is_known()) {
        return;
    }
    let keeps_prior = prior.is_some_and(|prior| prior == planned && !prior.is_null() && !config.is_null());
    if keeps_prior {
        return;
    }
    if config.is_null() {
        if !attribute.computed {
            found.push(format!("{path}: it is not configured and not computed, yet the plan gives it a value"));
        }
        return;
    }
    if let AttributeTy::Nested { attributes, .. } = &attribute.ty
        && let (Some(config_entries), Some(planned_entries)) = (config.as_entries(), planned.as_entries())
    {
        for (name, attribute) in attributes {
            if let (Some(config), Some(planned)) = (config_entries.get(name), planned_entries.get(name)) {
                let prior = prior.and_then(|prior| prior.get(name));
                check_attribute(attribute, prior, config, planned, &path.then(Step::Attribute(name.clone())), found);
            }
        }
        return;
    }
    if !attribute.optional && !attribute.required {
        return;
    }
    found.push(format!("{path}: the plan differs from what is configured"));
}

/// How the only violation ends that nobody is allowed: it would be stored.
pub(crate) const WRITE_ONLY: &str = "it is only written, so it has to be null";

/// How the only violation ends that a second plan is allowed.
pub(crate) const UNKNOWN_NOW: &str = "is unknown now";

/// Where a result contradicts the plan: what was known must be so, what was unknown may be anything that its
/// refinement allows.
pub fn result_violations(planned: &Value, actual: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(planned, actual, &Path::root(), &mut found);
    found
}

fn compare(planned: &Value, actual: &Value, at: &Path, found: &mut Vec<String>) {
    let place = || if at.0.is_empty() { "the object".to_owned() } else { at.to_string() };
    match (planned, actual) {
        // Not even which part of it: that can be a key.
        (Value::Marked(_, planned), _) => {
            let below = result_violations(planned, actual);
            if below.iter().any(|violation| !violation.ends_with(UNKNOWN_NOW)) {
                found.push(format!("{}: this sensitive value is not as planned", place()));
            } else if !below.is_empty() {
                found.push(format!("{}: it was known in the plan and {UNKNOWN_NOW}", place()));
            }
        }
        (Value::Unknown(_, refinement), _) => {
            let Some(refinement) = refinement else { return };
            if refinement.not_null && actual.is_null() {
                found.push(format!("{}: it was promised not to be null", place()));
            }
            if actual.as_str().is_some_and(|text| !text.starts_with(&refinement.string_prefix)) {
                found.push(format!("{}: it was promised to begin otherwise", place()));
            }
        }
        (_, Value::Unknown(..)) => found.push(format!("{}: it was known in the plan and {UNKNOWN_NOW}", place())),
        (Value::Null(_), Value::Null(_)) => {}
        (Value::Null(_), _) => found.push(format!("{}: it was planned to be null and is not", place())),
        (_, Value::Null(_)) => found.push(format!("{}: it was planned to have a value and is null", place())),
        (Value::Object(planned), Value::Object(actual)) | (Value::Map(_, planned), Value::Map(_, actual)) => {
            for (name, planned) in planned.iter() {
                match actual.get(name) {
                    Some(actual) => compare(planned, actual, &at.then(Step::Attribute(name.clone())), found),
                    None => found.push(format!("{}: {name:?} was planned and is missing", place())),
                }
            }
            for name in actual.keys().filter(|name| !planned.contains_key(*name)) {
                found.push(format!("{}: {name:?} was not planned", place()));
            }
        }
        (Value::Set(_, planned), Value::Set(_, actual)) => {
            if actual.len() > planned.len() {
                found.push(format!("{}: the set has more elements than planned", place()));
            }
            let actual: Seen<'_> = actual.iter().collect();
            for item in planned.iter().filter(|item| item.is_wholly_known()) {
                if !actual.contains(item) {
                    found.push(format!("{}: an element of the set that was planned is missing", place()));
                }
            }
        }
        (Value::List(_, planned), Value::List(_, actual)) | (Value::Tuple(planned), Value::Tuple(actual)) => {
            if planned.len() != actual.len() {
                found.push(format!("{}: {} elements were planned, there are {}", place(), planned.len(), actual.len()));
                return;
            }
            for (idx, (planned, actual)) in planned.iter().zip(actual.iter()).enumerate() {
                compare(planned, actual, &at.then(Step::Index(idx)), found);
            }
        }
        _ if planned == actual => {}
        _ => found.push(format!("{}: it was planned to be something else", place())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use value::Ty;

    #[test]
    fn what_is_only_written_is_null_in_every_plan() {
        let attribute = Attribute { write_only: true, ..Attribute::optional(Ty::String, "") };
        let block = Block { attributes: [("secret".into(), attribute)].into(), ..Block::default() };
        let [config, null] =
            [Value::from("x"), Value::Null(Ty::String)].map(|value| Value::object([("secret", value)]));
        let prior = Value::Null(block.implied_ty());
        assert_eq!(plan_violations(&block, &prior, &config, &null), Vec::<String>::new());
        assert_eq!(plan_violations(&block, &prior, &config, &config), [format!("secret: {WRITE_ONLY}")]);
    }

    #[test]
    fn what_was_known_must_come_true() {
        let planned = Value::object([("a", Value::from(1)), ("b", Value::unknown(Ty::String))]);
        let kept = Value::object([("a", Value::from(1)), ("b", Value::from("x"))]);
        let broken = Value::object([("a", Value::from(2)), ("b", Value::from("x"))]);
        assert_eq!(result_violations(&planned, &kept), Vec::<String>::new());
        assert_eq!(result_violations(&planned, &broken), ["a: it was planned to be something else"]);
    }

    #[test]
    fn a_violation_tells_nothing_of_a_sensitive_value() {
        let planned = Value::object([("hunter2", Value::from("a"))]).mark_sensitive();
        let actual = Value::object([("hunter2", Value::from("b"))]);
        let found = result_violations(&Value::object([("a", planned)]), &Value::object([("a", actual)]));
        assert_eq!(found, ["a: this sensitive value is not as planned"]);
    }

    #[test]
    fn a_plan_may_not_change_what_is_configured() {
        let attributes =
            [("a".into(), Attribute::optional(Ty::Number, "")), ("b".into(), Attribute::computed(Ty::String, ""))];
        let block = Block { attributes: attributes.into(), ..Block::default() };
        let object = |a: i64, b: Value| Value::object([("a", Value::from(a)), ("b", b)]);
        let null = Value::Null(Ty::String);
        let config = object(1, null.clone());
        let prior = Value::Null(config.ty());
        assert!(plan_violations(&block, &prior, &config, &object(1, Value::unknown(Ty::String))).is_empty());
        let found = plan_violations(&block, &prior, &config, &object(2, null));
        assert_eq!(found, ["a: the plan differs from what is configured"]);
    }
}
