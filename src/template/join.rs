//! The helper `join`: a list as one text.

use handlebars::{Context, Handlebars, Helper, HelperResult, JsonRender, Output, RenderContext, RenderErrorReason};

/// `{{join LIST SEPARATOR}}`: the elements of `LIST` with `SEPARATOR` between them.
pub(super) fn join(
    helper: &Helper<'_>,
    _: &Handlebars<'_>,
    _: &Context,
    _: &mut RenderContext<'_, '_>,
    out: &mut dyn Output,
) -> HelperResult {
    let list = helper.param(0).and_then(|list| list.value().as_array());
    let separator = helper.param(1).and_then(|separator| separator.value().as_str());
    let (Some(list), Some(separator)) = (list, separator) else {
        return Err(RenderErrorReason::Other("`join` takes a list and a separator".to_owned()).into());
    };
    out.write(&list.iter().map(JsonRender::render).collect::<Vec<_>>().join(separator))?;
    Ok(())
}
