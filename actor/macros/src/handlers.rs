//! `#[handlers]`: sorts the items of the block and has each expanded.

use proc_macro2::TokenStream;
use quote::quote;
use syn::{Attribute, Error, FnArg, Ident, ImplItem, ImplItemFn, ItemImpl, Path, Result, Type};

use crate::arguments::handlers_library;
use crate::expansion::Expansion;
use crate::method::{Method, is_context};

pub(crate) fn expand(arguments: TokenStream, item: TokenStream) -> TokenStream {
    let (library, mut error) = handlers_library(arguments);
    let (mut block, actor) = match read_block(item) {
        Ok(read) => read,
        Err(error) => return error.to_compile_error(),
    };
    let mut found = Found::default();
    for item in &mut block.items {
        if let ImplItem::Fn(function) = item
            && let Err(wrong) = found.sort(function, &actor)
        {
            match &mut error {
                Some(error) => error.combine(wrong),
                None => error = Some(wrong),
            }
        }
    }
    let expansion = Expansion::new(&library, &actor);
    let methods = found.methods.iter().enumerate().map(|(number, method)| expansion.method(number, method));
    let methods: TokenStream = methods.collect();
    let whole = expansion.actor(&found.methods, &found.lifecycle);
    let reference = expansion.reference();
    let error = error.map(|error| error.to_compile_error());
    // Handlers are `async` so that they may wait one day, not because they do.
    quote! {
        #[allow(clippy::unused_async)]
        #block
        #methods
        #reference
        #whole
        #error
    }
}

fn read_block(item: TokenStream) -> Result<(ItemImpl, Path)> {
    let wrong = "`#[handlers]` goes on an `impl` block of an actor, as in `impl Counter { .. }`";
    let block = syn::parse2::<ItemImpl>(item.clone()).map_err(|error| {
        // A mistake inside the block is told as it is; anything but a block is not one.
        let starts_block = item.clone().into_iter().any(|token| token.to_string() == "impl");
        if starts_block { error } else { Error::new_spanned(&item, wrong) }
    })?;
    if let Some((_, of, _)) = &block.trait_ {
        return Err(Error::new_spanned(of, wrong));
    }
    if !block.generics.params.is_empty() {
        let reason = "an actor cannot be generic: its type has one name in the cluster";
        return Err(Error::new_spanned(&block.generics, reason));
    }
    match block.self_ty.as_ref() {
        Type::Path(path) if path.qself.is_none() => {
            let path = path.path.clone();
            Ok((block, path))
        }
        other => Err(Error::new_spanned(other, wrong)),
    }
}

/// The two functions that are no handlers, recognised by name.
#[derive(Default)]
pub(crate) struct Lifecycle {
    pub(crate) activate: Hook,
    pub(crate) deactivate: Hook,
}

#[derive(Default)]
pub(crate) enum Hook {
    #[default]
    Absent,
    /// It is there, but its form is reported as wrong.
    Wrong,
    Present {
        name: Ident,
        asynchronous: bool,
        context: bool,
    },
}

#[derive(Default)]
struct Found {
    methods: Vec<Method>,
    lifecycle: Lifecycle,
}

impl Found {
    fn sort(&mut self, function: &mut ImplItemFn, actor: &Path) -> Result<()> {
        const ACTIVATE: &str = "`async fn activate(ctx: &mut Context<'_>) -> Result<Self, ActivationError>`";
        const DEACTIVATE: &str = "`async fn deactivate(&mut self, ctx: &mut Context<'_>)`";
        let query = take_query(&mut function.attrs)?;
        let name = function.sig.ident.to_string();
        match name.as_str() {
            "activate" => self.lifecycle.activate.read(function, false, ACTIVATE),
            "deactivate" => self.lifecycle.deactivate.read(function, true, DEACTIVATE),
            _ if function.sig.receiver().is_none() && !query => Ok(()),
            _ => {
                self.methods.push(Method::read(function, query, actor)?);
                Ok(())
            }
        }
    }
}

/// Removes `#[query]`, which means nothing to the compiler.
fn take_query(attributes: &mut Vec<Attribute>) -> Result<bool> {
    let is_query = |attribute: &Attribute| attribute.path().is_ident("query");
    let Some(at) = attributes.iter().position(is_query) else {
        return Ok(false);
    };
    let query = attributes.remove(at);
    attributes.retain(|attribute| !is_query(attribute));
    query.meta.require_path_only().map(|_| true)
}

impl Hook {
    fn read(&mut self, function: &ImplItemFn, has_state: bool, form: &str) -> Result<()> {
        *self = Self::Wrong;
        check_hook(function, has_state, form)?;
        let signature = &function.sig;
        *self = Self::Present {
            name: signature.ident.clone(),
            asynchronous: signature.asyncness.is_some(),
            context: signature.inputs.iter().any(|input| matches!(input, FnArg::Typed(_))),
        };
        Ok(())
    }
}

fn check_hook(function: &ImplItemFn, has_state: bool, form: &str) -> Result<()> {
    let signature = &function.sig;
    let wrong = |at: &dyn quote::ToTokens| {
        Error::new_spanned(at.to_token_stream(), format!("this function is no handler; its form is {form}"))
    };
    match (signature.receiver(), has_state) {
        (None, true) => return Err(wrong(&signature.ident)),
        (Some(receiver), false) => return Err(wrong(receiver)),
        (Some(receiver), true) if receiver.reference.is_none() || receiver.colon_token.is_some() => {
            return Err(wrong(receiver));
        }
        _ => {}
    }
    let mut others = signature.inputs.iter().filter_map(|input| match input {
        FnArg::Typed(argument) => Some(argument),
        FnArg::Receiver(_) => None,
    });
    if let Some(context) = others.next()
        && !is_context(&context.ty)?
    {
        return Err(wrong(context));
    }
    if let Some(other) = others.next() {
        return Err(wrong(other));
    }
    let answers = matches!(signature.output, syn::ReturnType::Type(..));
    match answers == has_state {
        true => Err(wrong(&signature.ident)),
        false => Ok(()),
    }
}
