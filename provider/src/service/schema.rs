use value::schema::{Block, Schema};

use crate::resource::{Resource, group_attributes};

pub(super) fn schema<R: Resource>() -> Schema {
    let attributes = group_attributes().into_iter().chain(R::attributes());
    let attributes = attributes.map(|(name, attribute)| (name.into(), attribute)).collect();
    Schema { version: 0, block: Block { description: R::DOC.to_owned(), attributes, ..Block::default() } }
}
