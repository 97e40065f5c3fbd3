//! Typed headers: one struct for the fields of each request and response.
//!
//! The structs have Apache's names and, in Rust's spelling, Apache's fields. A field that Apache
//! marks as not null is plain here and missing ones are an error; the others are options. Fields
//! that are not named here (`ns`, `nsd`, `bname`, `oway`, `lo` and those of later releases) are
//! passed over, as Apache does.
//!
//! Source: RocketMQ 5.3.3 `remoting/protocol/header`.

mod admin;
mod consumer;
mod name_server;
mod offset;
mod pull;
mod query;
mod send;
mod transaction;

pub use admin::*;
pub use consumer::*;
pub use name_server::*;
pub use offset::*;
pub use pull::*;
pub use query::*;
pub use send::*;
pub use transaction::*;

use super::DecodeError;
use super::ext_fields::{ExtFields, FieldValue};

/// The fields of one kind of request or response.
pub trait Header: Sized {
    /// Reads the fields.
    ///
    /// # Errors
    /// A field is missing or bad; the error names it.
    fn read(fields: &ExtFields) -> Result<Self, DecodeError>;

    /// Adds the fields.
    fn write(&self, fields: &mut ExtFields);
}

/// No fields.
impl Header for () {
    fn read(_: &ExtFields) -> Result<Self, DecodeError> {
        Ok(())
    }

    fn write(&self, _: &mut ExtFields) {}
}

/// A header's field: there, or perhaps there.
trait Field: Sized {
    fn read(fields: &ExtFields, name: &'static str) -> Result<Self, DecodeError>;
    fn write(&self, fields: &mut ExtFields, name: &'static str);
}

impl<T: for<'a> FieldValue<'a>> Field for T {
    fn read(fields: &ExtFields, name: &'static str) -> Result<Self, DecodeError> {
        fields.required(name)
    }

    fn write(&self, fields: &mut ExtFields, name: &'static str) {
        self.push(name, fields);
    }
}

impl<T: for<'a> FieldValue<'a>> Field for Option<T> {
    fn read(fields: &ExtFields, name: &'static str) -> Result<Self, DecodeError> {
        fields.optional(name)
    }

    fn write(&self, fields: &mut ExtFields, name: &'static str) {
        if let Some(value) = self {
            value.push(name, fields);
        }
    }
}

/// Declares a header: `/// what` `field: Type = "nameOnTheWire"`.
macro_rules! header {
    ($(#[$docs:meta])* $type:ident {
        $($(#[$field_docs:meta])* $field:ident: $field_type:ty = $name:literal,)+
    }) => {
        $(#[$docs])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $type {
            $($(#[$field_docs])* pub $field: $field_type,)+
        }

        impl crate::protocol::header::Header for $type {
            fn read(
                fields: &crate::protocol::ext_fields::ExtFields,
            ) -> Result<Self, crate::protocol::DecodeError> {
                use crate::protocol::header::Field as _;
                Ok(Self { $($field: <$field_type>::read(fields, $name)?,)+ })
            }

            fn write(&self, fields: &mut crate::protocol::ext_fields::ExtFields) {
                use crate::protocol::header::Field as _;
                $(self.$field.write(fields, $name);)+
            }
        }
    };
}
use header;
