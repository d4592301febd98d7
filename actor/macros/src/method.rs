//! One method of a `#[handlers]` block: what it takes, what it answers, and whether it can be a handler.

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::{Attribute, Error, FnArg, ImplItemFn, Pat, Path, Receiver, Result, ReturnType, Signature, Type};

use crate::tokens::{find_unfit, last_segment, type_arguments, without_self};

/// Serde writes tuples up to this length.
const ARGUMENTS_MAX: usize = 16;

/// A method that is a handler.
pub(crate) struct Method {
    pub(crate) name: Ident,
    /// Documentation and deprecation, for the method of the reference.
    pub(crate) shown: Vec<Attribute>,
    /// Conditions under which the method exists.
    pub(crate) conditions: Vec<Attribute>,
    pub(crate) query: bool,
    pub(crate) asynchronous: bool,
    pub(crate) inputs: Vec<Input>,
    pub(crate) output: Output,
}

pub(crate) enum Input {
    Context,
    Argument { name: Ident, of: TokenStream },
}

pub(crate) enum Output {
    /// The method always answers.
    Plain(TokenStream),
    /// The method answers or refuses.
    Fallible(TokenStream, TokenStream),
}

impl Method {
    pub(crate) fn read(function: &ImplItemFn, query: bool, actor: &Path) -> Result<Self> {
        let signature = &function.sig;
        check_receiver(signature.receiver(), signature, query)?;
        check_plain(signature)?;
        let inputs = inputs(signature, actor)?;
        let pick = |names: &[&str]| -> Vec<Attribute> {
            let named = |attribute: &&Attribute| names.iter().any(|name| attribute.path().is_ident(name));
            function.attrs.iter().filter(named).cloned().collect()
        };
        Ok(Self {
            name: signature.ident.clone(),
            shown: pick(&["doc", "deprecated"]),
            conditions: pick(&["cfg"]),
            query,
            asynchronous: signature.asyncness.is_some(),
            inputs,
            output: output(&signature.output, actor)?,
        })
    }
}

fn check_receiver(receiver: Option<&Receiver>, signature: &Signature, query: bool) -> Result<()> {
    let Some(receiver) = receiver else {
        return Err(Error::new_spanned(&signature.ident, "a query takes `&self`"));
    };
    let borrowed = receiver.reference.is_some() && receiver.colon_token.is_none();
    if !borrowed {
        let reason = "a handler takes `&mut self` or `&self`: the actor stays in memory after the call";
        return Err(Error::new_spanned(receiver, reason));
    }
    match query && receiver.mutability.is_some() {
        true => Err(Error::new_spanned(receiver, "a query takes `&self`: it only reads")),
        false => Ok(()),
    }
}

fn check_plain(signature: &Signature) -> Result<()> {
    if signature.ident == "address" {
        let reason = "the reference to an actor has a method `address` already: choose another name";
        return Err(Error::new_spanned(&signature.ident, reason));
    }
    if !signature.generics.params.is_empty() {
        let reason = "a handler cannot be generic: its message has one shape on the wire. Every method in a \
                      `#[handlers]` block is a handler; put others into a block without the attribute";
        return Err(Error::new_spanned(&signature.generics, reason));
    }
    match &signature.unsafety {
        Some(token) => Err(Error::new_spanned(token, "a handler cannot be unsafe: anyone may call it")),
        None => Ok(()),
    }
}

fn inputs(signature: &Signature, actor: &Path) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    let mut contexts = 0;
    for argument in &signature.inputs {
        let FnArg::Typed(argument) = argument else {
            continue;
        };
        if is_context(&argument.ty)? {
            contexts += 1;
            if contexts > 1 {
                return Err(Error::new_spanned(argument, "one `Context` is enough"));
            }
            inputs.push(Input::Context);
            continue;
        }
        let Pat::Ident(name) = argument.pat.as_ref() else {
            let reason = "name this argument: callers see the name";
            return Err(Error::new_spanned(&argument.pat, reason));
        };
        check_owned(&argument.ty)?;
        let of = without_self(argument.ty.to_token_stream(), actor);
        inputs.push(Input::Argument { name: name.ident.clone(), of });
    }
    match inputs.len() - contexts > ARGUMENTS_MAX {
        true => {
            let reason = format!("a handler takes at most {ARGUMENTS_MAX} arguments: put them into a struct");
            Err(Error::new_spanned(&signature.inputs, reason))
        }
        false => Ok(inputs),
    }
}

/// Whether a parameter is the context, by its type.
pub(crate) fn is_context(of: &Type) -> Result<bool> {
    let (inner, mutable) = match of {
        Type::Reference(reference) => (reference.elem.as_ref(), reference.mutability.is_some()),
        other => (other, false),
    };
    match last_segment(inner) {
        Some(segment) if segment.ident == "Context" && !mutable => {
            Err(Error::new_spanned(of, "a handler takes its context as `&mut Context<'_>`"))
        }
        segment => Ok(segment.is_some_and(|segment| segment.ident == "Context")),
    }
}

fn check_owned(of: &Type) -> Result<()> {
    match find_unfit(of) {
        Some((span, reason)) => Err(Error::new(span, reason)),
        None => Ok(()),
    }
}

fn output(output: &ReturnType, actor: &Path) -> Result<Output> {
    let ReturnType::Type(_, answer) = output else {
        return Ok(Output::Plain(quote::quote!(())));
    };
    check_owned(answer)?;
    let written = |of: &Type| without_self(of.to_token_stream(), actor);
    let Some(result) = last_segment(answer).filter(|segment| segment.ident == "Result") else {
        return Ok(Output::Plain(written(answer)));
    };
    match type_arguments(result)[..] {
        [reply, error] => Ok(Output::Fallible(written(reply), written(error))),
        _ => {
            let reason = "write the error type out, as `Result<T, E>`: it is part of the handler's interface";
            Err(Error::new_spanned(answer, reason))
        }
    }
}
