//! What can be wrong with a template.

use super::TemplateName;

/// A template that is not one, or that its data does not fit.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// No template has this name.
    #[error("there is no template `{name}`")]
    Unknown {
        /// The name.
        name: String,
    },
    /// The text is not a template.
    #[error("cannot read template `{}`: line {line}, column {column}: {reason}", name.as_str())]
    Syntax {
        /// Which.
        name: TemplateName,
        /// Line in the template's text, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong.
        reason: String,
    },
    /// The template asks for what the data does not have.
    #[error("cannot render template `{}`: line {line}, column {column}: {reason}", name.as_str())]
    Render {
        /// Which.
        name: TemplateName,
        /// Line in the template's text, from 1.
        line: usize,
        /// Column, from 1.
        column: usize,
        /// What is wrong.
        reason: String,
    },
}

impl TemplateError {
    pub(super) fn syntax(name: TemplateName, error: &handlebars::TemplateError) -> TemplateError {
        let (line, column) = error.pos().unwrap_or((1, 1));
        let reason = match error.reason() {
            // The parser's own words are the names of its grammar's rules.
            handlebars::TemplateErrorReason::InvalidSyntax(_) => {
                "not an expression of handlebars, or a block that is not closed".to_owned()
            }
            other => other.to_string(),
        };
        TemplateError::Syntax { name, line, column, reason }
    }

    pub(super) fn render(name: TemplateName, error: &handlebars::RenderError) -> TemplateError {
        let (line, column) = (error.line_no.unwrap_or(1), error.column_no.unwrap_or(1));
        let reason = match error.reason() {
            handlebars::RenderErrorReason::MissingVariable(Some(path)) => format!("there is no variable `{path}`"),
            other => other.to_string(),
        };
        TemplateError::Render { name, line, column, reason }
    }

    /// The name of the template.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            TemplateError::Unknown { name } => name,
            TemplateError::Syntax { name, .. } | TemplateError::Render { name, .. } => name.as_str(),
        }
    }

    /// What the user can do.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        let TemplateError::Unknown { name } = self else { return None };
        let names = TemplateName::ALL.map(TemplateName::as_str);
        let near = names.into_iter().min_by_key(|known| strsim::damerau_levenshtein(known, name));
        let near = near.filter(|known| strsim::damerau_levenshtein(known, name) <= known.len() / 3);
        Some(match near {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the templates are `{}`", names.join("`, `")),
        })
    }
}
