//! `openapi.yaml`, as something that an answer can be held against.

#![allow(clippy::wildcard_enum_match_arm, reason = "JSON has no further kinds")]

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::client::Response;

/// Headers that belong to HTTP itself.
const OF_HTTP: [&str; 4] = ["connection", "content-length", "content-type", "date"];

#[derive(Debug)]
pub struct Document {
    root: Value,
    /// The same with every response object closed, so that a member that is not documented is noticed.
    closed: Value,
}

/// One operation: method in upper case, path as written.
pub type Operation = (String, String);

impl Document {
    pub fn read() -> Self {
        let root: Value = serde_yaml_ng::from_str(include_str!("../../../openapi.yaml")).expect("YAML");
        let mut closed = root.clone();
        close(&mut closed["components"]["schemas"]);
        close(&mut closed["paths"]);
        Self { root, closed }
    }

    pub fn problems(&self) -> &serde_json::Map<String, Value> {
        self.root["x-problems"].as_object().unwrap()
    }

    pub fn operations(&self) -> Vec<Operation> {
        let paths = self.root["paths"].as_object().unwrap();
        let methods = |item: &Value| -> Vec<String> {
            let known = ["get", "post", "put", "delete", "patch", "head", "options"];
            item.as_object().unwrap().keys().filter(|key| known.contains(&key.as_str())).cloned().collect()
        };
        let pairs = paths.iter().flat_map(|(path, item)| methods(item).into_iter().map(move |method| (method, path)));
        pairs.map(|(method, path)| (method.to_ascii_uppercase(), path.clone())).collect()
    }

    pub fn operation(&self, (method, path): &Operation) -> &Value {
        &self.root["paths"][path][method.to_ascii_lowercase()]
    }

    pub fn is_admin(&self, operation: &Operation) -> bool {
        self.operation(operation)["tags"] == json!(["admin"])
    }

    pub fn statuses(&self, operation: &Operation) -> Vec<u16> {
        let responses = self.operation(operation)["responses"].as_object().unwrap();
        responses.keys().map(|status| status.parse().unwrap()).collect()
    }

    /// A value with its reference followed.
    pub fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        resolve(&self.root, value)
    }

    /// Every name of a header in the document.
    pub fn headers(&self) -> BTreeSet<String> {
        self.root["components"]["headers"].as_object().unwrap().keys().map(|name| name.to_ascii_lowercase()).collect()
    }

    /// Whether an answer is one that the document promises; and if not, why not.
    pub fn check(&self, operation: &Operation, response: &Response) -> Result<(), String> {
        let (method, path) = operation;
        let at = &self.closed["paths"][path][method.to_ascii_lowercase()]["responses"];
        let documented = resolve(&self.closed, &at[response.status.to_string()]);
        if documented.is_null() {
            return Err(format!("status {} is not documented", response.status));
        }
        self.check_headers(documented, response)?;
        let media_type = response.media_type().ok_or("no Content-Type")?;
        let media = &documented["content"][media_type];
        if media.is_null() {
            return Err(format!("{media_type} is not documented"));
        }
        let body = if media_type.ends_with("json") { response.json() } else { text(&response.body) };
        self.validate(&self.closed, &media["schema"], &body)?;
        if media_type == "application/problem+json" { self.check_problem(&body, response) } else { Ok(()) }
    }

    fn check_headers(&self, documented: &Value, response: &Response) -> Result<(), String> {
        let names: BTreeSet<_> = documented["headers"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(name, _)| name.to_ascii_lowercase())
            .collect();
        let undocumented = |name: &&String| !OF_HTTP.contains(&name.as_str()) && !names.contains(*name);
        match response.headers.iter().map(|(name, _)| name).find(undocumented) {
            Some(name) => Err(format!("header {name} is not documented")),
            None => Ok(()),
        }
    }

    /// A problem is what `x-problems` says of its code; its `type` points there; the header repeats the wait.
    pub fn check_problem(&self, body: &Value, response: &Response) -> Result<(), String> {
        let code = body["code"].as_str().ok_or("no code")?;
        let explained = self.problems().get(code).ok_or_else(|| format!("{code} is not explained"))?;
        let differs = ["status", "title", "retryable"].into_iter().find(|member| explained[member] != body[member]);
        let points_there = body["type"] == format!("/openapi.yaml#/x-problems/{code}") || body["type"] == "about:blank";
        let wait = response.header("retry-after").map(|wait| json!(wait.parse::<u64>().unwrap()));
        match differs {
            Some(member) => Err(format!("{code}: {member} is {} here and {} there", body[member], explained[member])),
            None if !points_there => Err(format!("type {} does not point to {code}", body["type"])),
            None if body["status"] != response.status => Err("two statuses".into()),
            None if body.get("retry_after") != wait.as_ref() => Err("two waits".into()),
            None => Ok(()),
        }
    }

    /// Whether an example or a body fits a schema of the document.
    pub fn fits(&self, schema: &Value, value: &Value) -> Result<(), String> {
        self.validate(&self.root, schema, value)
    }

    fn validate(&self, root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
        let whole = json!({
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "components": root["components"],
            "allOf": [schema],
        });
        let validator = jsonschema::options().should_validate_formats(true).build(&whole).expect("a valid schema");
        let errors: Vec<_> =
            validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
        if errors.is_empty() { Ok(()) } else { Err(format!("{}\n{value:#}", errors.join("\n"))) }
    }

    /// Every property that a schema has, as paths such as `recipients.email`.
    pub fn properties(&self, schema: &Value) -> BTreeSet<String> {
        let schema = self.resolve(schema);
        let mut found = BTreeSet::new();
        for (name, below) in schema["properties"].as_object().into_iter().flatten() {
            found.insert(name.clone());
            let below = self.resolve(below);
            let below = if below["items"].is_null() { below } else { &below["items"] };
            found.extend(self.properties(below).into_iter().map(|inner| format!("{name}.{inner}")));
        }
        found
    }
}

/// Every property that a value has, named as [`Document::properties`] does.
pub fn properties_of(value: &Value) -> BTreeSet<String> {
    match value {
        Value::Object(map) => {
            let below = |(name, value): (&String, &Value)| -> Vec<String> {
                properties_of(value).into_iter().map(|inner| format!("{name}.{inner}")).chain([name.clone()]).collect()
            };
            map.iter().flat_map(below).collect()
        }
        Value::Array(items) => items.iter().flat_map(properties_of).collect(),
        _ => BTreeSet::new(),
    }
}

fn text(bytes: &[u8]) -> Value {
    String::from_utf8_lossy(bytes).into_owned().into()
}

fn resolve<'a>(root: &'a Value, value: &'a Value) -> &'a Value {
    match value["$ref"].as_str() {
        Some(reference) => {
            resolve(root, root.pointer(reference.trim_start_matches('#')).expect("a reference that leads somewhere"))
        }
        None => value,
    }
}

fn close(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            if map.contains_key("properties") && map.get("type") == Some(&json!("object")) {
                map.entry("additionalProperties").or_insert(json!(false));
            }
            map.values_mut().for_each(close);
        }
        Value::Array(items) => items.iter_mut().for_each(close),
        _ => {}
    }
}
