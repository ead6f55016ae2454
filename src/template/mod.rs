//! Templates: compiled once, strict, pure.
//!
//! Start at [`Templates`]. This room reads nothing that it is not given, and does not know what the data means.

mod error;
mod join;
mod name;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::LazyLock;

use handlebars::{Context, Handlebars};
use serde::Serialize;

pub use error::TemplateError;
pub use name::TemplateName;

/// The built-in templates, compiled at the first use.
static BUILTIN: LazyLock<Handlebars<'static>> = LazyLock::new(|| {
    let mut registry = Handlebars::new();
    // A name that the data lacks is an error, not an empty text in a guest's file.
    registry.set_strict_mode(true);
    // What is written is not HTML.
    registry.register_escape_fn(handlebars::no_escape);
    registry.register_helper("join", Box::new(join::join));
    for name in TemplateName::ALL {
        registry.register_template_string(name.as_str(), name.text()).expect("the built-in templates are tested");
    }
    registry
});

/// The templates of one guest: the built-in ones, some of them replaced.
#[derive(Debug)]
pub struct Templates {
    registry: Cow<'static, Handlebars<'static>>,
}

impl Templates {
    /// The built-in templates, with those of `overrides` (template name to text) in place of their namesakes.
    pub fn builtin_with(overrides: &BTreeMap<String, String>) -> Result<Templates, TemplateError> {
        let mut registry = Cow::Borrowed(&*BUILTIN);
        for (name, text) in overrides {
            let name: TemplateName = name.parse()?;
            registry
                .to_mut()
                .register_template_string(name.as_str(), text)
                .map_err(|error| TemplateError::syntax(name, &error))?;
        }
        Ok(Templates { registry })
    }

    /// The text that the template `name` makes of `data`.
    pub fn render(&self, name: TemplateName, data: &Data) -> Result<String, TemplateError> {
        self.registry.render_with_context(name.as_str(), &data.0).map_err(|error| TemplateError::render(name, &error))
    }
}

/// What templates can say, brought into their form once for all of them.
#[derive(Debug, Clone)]
pub struct Data(Context);

impl Data {
    /// Templates name the fields of `facts`, a plain struct.
    pub fn new(facts: &impl Serialize) -> Data {
        Data(Context::from(plain(facts)))
    }

    /// The same with `value` as the field `name`.
    #[must_use]
    pub fn with(&self, name: &str, value: &impl Serialize) -> Data {
        let mut data = self.clone();
        if let Some(fields) = data.0.data_mut().as_object_mut() {
            fields.insert(name.to_owned(), plain(value));
        }
        data
    }

    /// The same with the fields of `facts`, a plain struct, in place of their namesakes.
    #[must_use]
    pub fn with_all(&self, facts: &impl Serialize) -> Data {
        let mut data = self.clone();
        if let (Some(fields), serde_json::Value::Object(other)) = (data.0.data_mut().as_object_mut(), plain(facts)) {
            fields.extend(other);
        }
        data
    }
}

fn plain(data: &impl Serialize) -> serde_json::Value {
    serde_json::to_value(data).expect("its fields have names, and its numbers are finite")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn with(name: &str, text: &str) -> Result<Templates, TemplateError> {
        Templates::builtin_with(&BTreeMap::from([(name.to_owned(), text.to_owned())]))
    }

    #[test]
    fn an_override_stands_in_for_its_namesake_alone() {
        let templates = with("hosts", "{{fleet}}: {{join names \", \"}} <&>\n").expect("it is correct");
        let data = Data::new(&json!({"fleet": "demo", "names": ["a", "b"], "hostname": "db"}));
        assert_eq!(templates.render(TemplateName::Hosts, &data).expect("rendered"), "demo: a, b <&>\n");
        assert_eq!(templates.render(TemplateName::Hostname, &data).expect("rendered"), "db\n");
    }

    #[test]
    fn an_unknown_name_gets_a_suggestion() {
        let error = with("host", "x").expect_err("no such template");
        insta::assert_snapshot!(error, @"there is no template `host`");
        assert_eq!(error.hint().as_deref(), Some("did you mean `hosts`?"));
        let error = with("unheard-of", "x").expect_err("no such template");
        insta::assert_snapshot!(error.hint().expect("there is one"), @"the templates are `hosts`, `hostname`, `resolv.conf`, `networkd.network`, `interfaces`, `sudoers`, `doas.conf`");
    }

    #[test]
    fn an_error_of_syntax_names_template_line_and_column() {
        insta::assert_snapshot!(with("hosts", "a\nb {{#each x}}\n").expect_err("not closed"), @"cannot read template `hosts`: line 3, column 1: not an expression of handlebars, or a block that is not closed");
        insta::assert_snapshot!(with("hosts", "a\n  {{#if x}}{{/each}}\n").expect_err("mismatched"), @r#"cannot read template `hosts`: line 2, column 12: helper "if" was opened, but "each" is closing"#);
    }

    #[test]
    fn a_variable_that_the_data_lacks_is_an_error() {
        let templates = with("hosts", "a\n{{hostnaem}}\n").expect("the syntax is correct");
        let error = templates
            .render(TemplateName::Hosts, &Data::new(&json!({"hostname": "db"})))
            .expect_err("no such variable");
        insta::assert_snapshot!(error, @"cannot render template `hosts`: line 2, column 1: there is no variable `hostnaem`");
    }

    #[test]
    fn joining_what_is_not_a_list_is_an_error() {
        let templates = with("hosts", "{{join hostname \" \"}}").expect("the syntax is correct");
        let error =
            templates.render(TemplateName::Hosts, &Data::new(&json!({"hostname": "db"}))).expect_err("not a list");
        insta::assert_snapshot!(error, @"cannot render template `hosts`: line 1, column 1: `join` takes a list and a separator");
    }
}
