use value::schema::{Block, Schema};

use crate::resource::{Resource, data_attributes, group_attributes};

pub(super) fn schema<R: Resource>() -> Schema {
    let of_data = if R::HAS_DATA { data_attributes() } else { Vec::new() };
    let attributes = group_attributes().into_iter().chain(of_data).chain(R::attributes());
    let attributes = attributes.map(|(name, attribute)| (name.into(), attribute)).collect();
    Schema { version: 0, block: Block { description: R::DOC.to_owned(), attributes, ..Block::default() } }
}
