//! The WIT package as it binds both sides: names, types, functions, and what worlds import and export; without comments.
//!
//! Invariant: two versions of an item have equal text here if, and only if, the component model takes one for the other.

use std::collections::{BTreeMap, BTreeSet};

use semver::Version;
use wit_parser::{
    Function, FunctionKind, InterfaceId, PackageId, Resolve, Type, TypeDef, TypeDefKind, TypeOwner, World,
    WorldItem, WorldKey,
};

/// The part of a function that is its result. No parameter is called so.
pub const RESULT: &str = "its result";

/// One version of the package.
#[derive(Debug)]
pub struct Contract {
    pub version: Version,
    pub interfaces: BTreeMap<String, Interface>,
    pub worlds: BTreeMap<String, Sides>,
}

#[derive(Debug, Default)]
pub struct Interface {
    pub types: BTreeMap<String, Shape>,
    pub functions: BTreeMap<String, Shape>,
}

/// What a world imports and exports, by the names of interfaces.
#[derive(Debug, Default)]
pub struct Sides {
    pub imports: BTreeSet<String>,
    pub exports: BTreeSet<String>,
}

/// A type or a function: what kind it is, and its parts (fields, cases, flags, parameters, result) in their order, each
/// with its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    pub kind: String,
    /// What one of its parts is called.
    pub part: &'static str,
    pub parts: Vec<(String, String)>,
}

impl Contract {
    /// Reads the text of a package.
    ///
    /// # Errors
    /// What is no WIT package with a version, and what this reader does not compare.
    pub fn read(file: &str, text: &str) -> Result<Self, String> {
        let mut resolve = Resolve::default();
        let id = resolve.push_source(file, text).map_err(|error| format!("{file}: {error:#}"))?;
        let package = &resolve.packages[id];
        let reader = Reader { resolve: &resolve, package: id };
        let version = package.name.version.clone().ok_or_else(|| format!("{file}: it has no version"))?;
        let interfaces = package.interfaces.iter().map(|(name, id)| (name.clone(), reader.interface(*id)));
        let interfaces = interfaces.collect();
        let worlds = package.worlds.iter().map(|(name, id)| {
            let sides =
                reader.sides(&resolve.worlds[*id]).map_err(|what| format!("{file}: world {name}: {what}"));
            Ok((name.clone(), sides?))
        });
        Ok(Self { version, interfaces, worlds: worlds.collect::<Result<_, String>>()? })
    }
}

struct Reader<'a> {
    resolve: &'a Resolve,
    package: PackageId,
}

impl Reader<'_> {
    fn interface(&self, id: InterfaceId) -> Interface {
        let interface = &self.resolve.interfaces[id];
        let types =
            interface.types.iter().map(|(name, id)| (name.clone(), self.shape(&self.resolve.types[*id])));
        let functions = interface.functions.iter().map(|(name, of)| (name.clone(), self.signature(of)));
        Interface { types: types.collect(), functions: functions.collect() }
    }

    fn sides(&self, world: &World) -> Result<Sides, String> {
        let named = |(key, item): (&WorldKey, &WorldItem)| match (key, item) {
            (WorldKey::Interface(id), WorldItem::Interface { .. }) => Ok(self.name(*id)),
            (key, _) => {
                let name = self.resolve.name_world_key(key);
                Err(format!(
                    "{name} is no interface with a name of its own, and nothing else is compared: make it one"
                ))
            }
        };
        Ok(Sides {
            imports: world.imports.iter().map(named).collect::<Result<_, _>>()?,
            exports: world.exports.iter().map(named).collect::<Result<_, _>>()?,
        })
    }

    /// The name of an interface, with its package where that is another.
    fn name(&self, id: InterfaceId) -> String {
        let interface = &self.resolve.interfaces[id];
        match &interface.name {
            Some(name) if interface.package == Some(self.package) => name.clone(),
            _ => self.resolve.id_of(id).unwrap_or_else(|| "an interface without a name".to_owned()),
        }
    }

    fn signature(&self, function: &Function) -> Shape {
        let kind = match function.kind {
            FunctionKind::Freestanding => "function".to_owned(),
            // Of a resource, or asynchronous: whatever it is, it stays that.
            _ => format!("{:?}", function.kind),
        };
        let parameters = function.params.iter().map(|param| (param.name.clone(), self.text(&param.ty)));
        let result = function.result.as_ref().map(|result| (RESULT.to_owned(), self.text(result)));
        Shape { kind, part: "parameter", parts: parameters.chain(result).collect() }
    }

    fn shape(&self, of: &TypeDef) -> Shape {
        let case = |name: &str, ty: Option<&Type>| {
            (name.to_owned(), ty.map_or_else(|| "nothing".to_owned(), |ty| self.text(ty)))
        };
        let (part, parts): (_, Vec<_>) = match &of.kind {
            TypeDefKind::Record(of) => {
                ("field", of.fields.iter().map(|f| case(&f.name, Some(&f.ty))).collect())
            }
            TypeDefKind::Variant(of) => {
                ("case", of.cases.iter().map(|c| case(&c.name, c.ty.as_ref())).collect())
            }
            TypeDefKind::Enum(of) => ("case", of.cases.iter().map(|c| case(&c.name, None)).collect()),
            TypeDefKind::Flags(of) => ("flag", of.flags.iter().map(|f| case(&f.name, None)).collect()),
            kind => ("part", vec![("it".to_owned(), self.kind(kind))]),
        };
        Shape { kind: of.kind.as_str().to_owned(), part, parts }
    }

    /// A type where it is used: one with a name by that, as its parts are compared where it is defined.
    fn text(&self, ty: &Type) -> String {
        let Type::Id(id) = ty else { return format!("{ty:?}").to_lowercase() };
        let of = &self.resolve.types[*id];
        match (&of.kind, &of.name, of.owner) {
            // Taken over from another interface, by whatever name.
            (TypeDefKind::Type(other), Some(_), _) => self.text(other),
            (_, Some(name), TypeOwner::Interface(owner)) => format!("{}.{name}", self.name(owner)),
            (_, Some(name), TypeOwner::World(_) | TypeOwner::None) => name.clone(),
            (kind, None, _) => self.kind(kind),
        }
    }

    fn kind(&self, kind: &TypeDefKind) -> String {
        let text = |ty: &Type| self.text(ty);
        let or_none = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_owned(), text);
        match kind {
            TypeDefKind::Option(of) => format!("option<{}>", text(of)),
            TypeDefKind::List(of) => format!("list<{}>", text(of)),
            TypeDefKind::Result(of) => format!("result<{}, {}>", or_none(&of.ok), or_none(&of.err)),
            TypeDefKind::Tuple(of) => {
                format!("tuple<{}>", of.types.iter().map(text).collect::<Vec<_>>().join(", "))
            }
            TypeDefKind::Map(key, value) => format!("map<{}, {}>", text(key), text(value)),
            TypeDefKind::FixedLengthList(of, length) => format!("list<{}, {length}>", text(of)),
            TypeDefKind::Future(of) => format!("future<{}>", or_none(of)),
            TypeDefKind::Stream(of) => format!("stream<{}>", or_none(of)),
            TypeDefKind::Type(of) => text(of),
            TypeDefKind::Handle(wit_parser::Handle::Own(id)) => format!("own<{}>", text(&Type::Id(*id))),
            TypeDefKind::Handle(wit_parser::Handle::Borrow(id)) => {
                format!("borrow<{}>", text(&Type::Id(*id)))
            }
            kind @ (TypeDefKind::Record(_)
            | TypeDefKind::Variant(_)
            | TypeDefKind::Enum(_)
            | TypeDefKind::Flags(_)
            | TypeDefKind::Resource
            | TypeDefKind::Unknown) => kind.as_str().to_owned(),
        }
    }
}
