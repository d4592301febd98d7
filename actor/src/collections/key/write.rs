//! Writes keys.

use serde::ser::{
    Serialize, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple, SerializeTupleStruct,
    SerializeTupleVariant, Serializer,
};

use super::{END, ZERO};
use crate::codec::CodecError;

#[derive(Default)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
}

impl Writer {
    fn text(&mut self, text: &[u8]) {
        for byte in text {
            self.bytes.push(*byte);
            if *byte == 0 {
                self.bytes.push(ZERO);
            }
        }
        self.bytes.extend([0, END]);
    }
}

fn unordered(what: &str) -> CodecError {
    CodecError::new(format!("{what} cannot be part of a key: it has no order to sort by"))
}

macro_rules! unsigned {
    ($($method:ident: $of:ty),*) => {$(
        fn $method(self, value: $of) -> Result<(), CodecError> {
            self.bytes.extend(value.to_be_bytes());
            Ok(())
        }
    )*};
}

macro_rules! signed {
    ($($method:ident: $of:ty),*) => {$(
        fn $method(self, value: $of) -> Result<(), CodecError> {
            self.bytes.extend((value ^ <$of>::MIN).to_be_bytes());
            Ok(())
        }
    )*};
}

impl<'a> Serializer for &'a mut Writer {
    type Ok = ();
    type Error = CodecError;
    type SerializeSeq = Sequence<'a>;
    type SerializeTuple = Self;
    type SerializeTupleStruct = Self;
    type SerializeTupleVariant = Self;
    type SerializeMap = serde::ser::Impossible<(), CodecError>;
    type SerializeStruct = Self;
    type SerializeStructVariant = Self;

    unsigned! { serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128 }
    signed! { serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128 }

    fn serialize_bool(self, value: bool) -> Result<(), CodecError> {
        self.serialize_u8(value.into())
    }

    fn serialize_char(self, value: char) -> Result<(), CodecError> {
        self.serialize_u32(value.into())
    }

    fn serialize_f32(self, _: f32) -> Result<(), CodecError> {
        Err(unordered("a floating point number"))
    }

    fn serialize_f64(self, _: f64) -> Result<(), CodecError> {
        Err(unordered("a floating point number"))
    }

    fn serialize_str(self, value: &str) -> Result<(), CodecError> {
        self.serialize_bytes(value.as_bytes())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), CodecError> {
        self.text(value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), CodecError> {
        self.serialize_u8(0)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), CodecError> {
        self.bytes.push(1);
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), CodecError> {
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), CodecError> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, index: u32, _: &'static str) -> Result<(), CodecError> {
        self.serialize_u32(index)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), CodecError> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        value: &T,
    ) -> Result<(), CodecError> {
        self.bytes.extend(index.to_be_bytes());
        value.serialize(self)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Sequence<'a>, CodecError> {
        Ok(Sequence(self))
    }

    fn serialize_tuple(self, _: usize) -> Result<Self, CodecError> {
        Ok(self)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Self, CodecError> {
        Ok(self)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, CodecError> {
        self.bytes.extend(index.to_be_bytes());
        Ok(self)
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap, CodecError> {
        Err(unordered("a map"))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self, CodecError> {
        Ok(self)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        index: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self, CodecError> {
        self.bytes.extend(index.to_be_bytes());
        Ok(self)
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

pub(super) struct Sequence<'a>(&'a mut Writer);

impl SerializeSeq for Sequence<'_> {
    type Ok = ();
    type Error = CodecError;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), CodecError> {
        self.0.bytes.push(1);
        value.serialize(&mut *self.0)
    }

    fn end(self) -> Result<(), CodecError> {
        self.0.bytes.push(0);
        Ok(())
    }
}

macro_rules! parts {
    ($($of:ident :: $part:ident($($key:ident)?)),*) => {$(
        impl $of for &mut Writer {
            type Ok = ();
            type Error = CodecError;

            fn $part<T: Serialize + ?Sized>(
                &mut self,
                $($key: &'static str,)?
                value: &T,
            ) -> Result<(), CodecError> {
                $(let _ = $key;)?
                value.serialize(&mut **self)
            }

            fn end(self) -> Result<(), CodecError> {
                Ok(())
            }
        }
    )*};
}

parts! {
    SerializeTuple::serialize_element(),
    SerializeTupleStruct::serialize_field(),
    SerializeTupleVariant::serialize_field(),
    SerializeStruct::serialize_field(key),
    SerializeStructVariant::serialize_field(key)
}
