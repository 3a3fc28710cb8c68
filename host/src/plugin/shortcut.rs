//! A shorter way into a component: what it exports is found at once.
//!
//! For every call, the engine looks up the function behind an export, and for one that a core module
//! defines it does so in tables that are as long as the component's code. One that a module has imported
//! is at hand. So components get one more core module before they are compiled, which imports the
//! functions that are exported, exports them again, and has no code: nothing else about them changes, and
//! no call takes a step more. One whose parts do not lie as toolchains put them stays as it is.

use std::collections::BTreeMap;

use wasmparser::{
    BinaryReader, ComponentAlias, ComponentAliasSectionReader, ComponentExportSectionReader,
    ComponentExternalKind, ComponentImportSectionReader, ComponentOuterAliasKind, ComponentTypeRef,
    ExternalKind, FuncType, Instance, InstanceSectionReader, Parser, Payload, TypeRef, ValType,
};

/// Hashed into the names of images, so that those of another way are not used.
pub(super) const WAY: u32 = 1;

/// The most functions that are passed on, and the longest name of one: what a plugin exports is less.
const MOST: usize = 256;

/// How a component, and a core module, begins.
const PREAMBLE_BYTES: usize = 8;

/// Numbers of a component's sections.
mod section {
    pub(super) const CORE_MODULE: u8 = 1;
    pub(super) const CORE_INSTANCE: u8 = 2;
    pub(super) const ALIAS: u8 = 6;
    pub(super) const IMPORT: u8 = 10;
    pub(super) const EXPORT: u8 = 11;
}

/// A section as it lies in the component.
struct Section<'a> {
    id: u8,
    body: &'a [u8],
    whole: &'a [u8],
}

/// The component with a shorter way into it, if its parts lie as that takes. Whether it is a valid one
/// is not judged.
pub(super) fn shortened(component: &[u8]) -> Option<Vec<u8>> {
    let sections = sections(component)?;
    let last = sections.iter().rposition(|section| section.id == section::CORE_INSTANCE)?;
    let (before, after) = sections.split_at_checked(last + 1)?;
    let counted = after.iter().all(|section| section.id != section::CORE_MODULE)
        && sections.iter().all(|section| adds_no_module(section) == Some(true));
    if !counted {
        return None;
    }
    let modules: Vec<&Section<'_>> =
        before.iter().filter(|section| section.id == section::CORE_MODULE).collect();
    let instances = instances(before)?;
    let main = exporting_instance(after)?;
    let Some(Instance::Instantiate { module_index, .. }) = instances.get(index(main)?) else {
        return None;
    };
    let module = modules.get(index(*module_index)?)?;
    let passed = passed(after, main, &functions(module.body)?)?;

    let mut out = component.get(..PREAMBLE_BYTES)?.to_vec();
    before.iter().for_each(|section| out.extend_from_slice(section.whole));
    put_section(&mut out, section::CORE_MODULE, &passing_module(&passed)?);
    put_section(&mut out, section::CORE_INSTANCE, &passing_instance(modules.len(), main));
    for section in after {
        match section.id {
            section::ALIAS => {
                let body = redirected(section.body, main, instances.len())?;
                put_section(&mut out, section::ALIAS, &body);
            }
            _ => out.extend_from_slice(section.whole),
        }
    }
    Some(out)
}

fn sections(component: &[u8]) -> Option<Vec<Section<'_>>> {
    let mut sections = Vec::new();
    let mut rest = component.get(PREAMBLE_BYTES..)?;
    while !rest.is_empty() {
        let mut reader = BinaryReader::new(rest, 0);
        let id = reader.read_u8().ok()?;
        let size = reader.read_var_u32().ok()?;
        let body = reader.read_bytes(index(size)?).ok()?;
        let (whole, others) = rest.split_at_checked(reader.original_position())?;
        sections.push(Section { id, body, whole });
        rest = others;
    }
    Some(sections)
}

/// Whether a section adds no core module to those that have a section of their own.
fn adds_no_module(section: &Section<'_>) -> Option<bool> {
    let reader = BinaryReader::new(section.body, 0);
    match section.id {
        section::IMPORT => {
            let mut imports = ComponentImportSectionReader::new(reader).ok()?.into_iter();
            imports.try_fold(true, |none, import| {
                Some(none && !matches!(import.ok()?.ty, ComponentTypeRef::Module(_)))
            })
        }
        section::EXPORT => {
            let mut exports = ComponentExportSectionReader::new(reader).ok()?.into_iter();
            exports.try_fold(true, |none, export| {
                Some(none && export.ok()?.kind != ComponentExternalKind::Module)
            })
        }
        section::ALIAS => {
            let mut aliases = ComponentAliasSectionReader::new(reader).ok()?.into_iter();
            aliases.try_fold(true, |none, alias| {
                let adds = matches!(
                    alias.ok()?,
                    ComponentAlias::InstanceExport { kind: ComponentExternalKind::Module, .. }
                        | ComponentAlias::Outer { kind: ComponentOuterAliasKind::CoreModule, .. }
                );
                Some(none && !adds)
            })
        }
        _ => Some(true),
    }
}

fn instances<'a>(sections: &[Section<'a>]) -> Option<Vec<Instance<'a>>> {
    let mut instances = Vec::new();
    for section in sections.iter().filter(|section| section.id == section::CORE_INSTANCE) {
        let reader = InstanceSectionReader::new(BinaryReader::new(section.body, 0)).ok()?;
        for instance in reader {
            instances.push(instance.ok()?);
        }
    }
    Some(instances)
}

/// The functions that are taken from core instances, each with its instance and name.
fn taken<'a>(sections: &[Section<'a>]) -> Option<Vec<(u32, &'a str)>> {
    let mut taken = Vec::new();
    for section in sections.iter().filter(|section| section.id == section::ALIAS) {
        let reader = ComponentAliasSectionReader::new(BinaryReader::new(section.body, 0)).ok()?;
        for alias in reader {
            if let ComponentAlias::CoreInstanceExport {
                kind: ExternalKind::Func,
                instance_index,
                name,
            } = alias.ok()?
            {
                taken.push((instance_index, name));
            }
        }
    }
    Some(taken)
}

/// The core instance whose functions the component exports.
fn exporting_instance(sections: &[Section<'_>]) -> Option<u32> {
    taken(sections)?.first().map(|(instance, _)| *instance)
}

/// The functions to pass on.
fn passed<'a>(
    sections: &[Section<'a>],
    main: u32,
    functions: &BTreeMap<&str, FuncType>,
) -> Option<BTreeMap<&'a str, FuncType>> {
    let mut passed = BTreeMap::new();
    for (_, name) in taken(sections)?.into_iter().filter(|(instance, _)| *instance == main) {
        passed.insert(name, functions.get(name)?.clone());
    }
    let short = passed.len() <= MOST && passed.keys().all(|name| name.len() <= MOST);
    short.then_some(passed)
}

/// The functions that a core module exports.
fn functions(module: &[u8]) -> Option<BTreeMap<&str, FuncType>> {
    let (mut types, mut of_functions) = (Vec::new(), Vec::new());
    let mut functions = BTreeMap::new();
    for payload in Parser::new(0).parse_all(module) {
        match payload.ok()? {
            Payload::TypeSection(section) => {
                for ty in section.into_iter_err_on_gc_types() {
                    types.push(ty.ok()?);
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    if let TypeRef::Func(ty) = import.ok()?.ty {
                        of_functions.push(ty);
                    }
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    of_functions.push(ty.ok()?);
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    let export = export.ok()?;
                    if export.kind == ExternalKind::Func {
                        let ty = of_functions.get(index(export.index)?)?;
                        functions.insert(export.name, types.get(index(*ty)?)?.clone());
                    }
                }
                break;
            }
            _ => {}
        }
    }
    Some(functions)
}

/// A core module that imports functions and exports them again.
fn passing_module(functions: &BTreeMap<&str, FuncType>) -> Option<Vec<u8>> {
    let (mut types, mut imports, mut exports) = (Vec::new(), Vec::new(), Vec::new());
    for list in [&mut types, &mut imports, &mut exports] {
        put_number(list, functions.len());
    }
    for (number, (name, ty)) in functions.iter().enumerate() {
        types.push(0x60);
        for values in [ty.params(), ty.results()] {
            put_number(&mut types, values.len());
            for value in values {
                types.push(encoded(*value)?);
            }
        }
        put_text(&mut imports, "");
        put_text(&mut imports, name);
        imports.push(0);
        put_number(&mut imports, number);
        put_text(&mut exports, name);
        exports.push(0);
        put_number(&mut exports, number);
    }
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    put_section(&mut module, 1, &types);
    put_section(&mut module, 2, &imports);
    put_section(&mut module, 7, &exports);
    Some(module)
}

/// A section with an instance of the last of so many modules and one, which gets its functions from
/// the main one.
fn passing_instance(modules: usize, main: u32) -> Vec<u8> {
    let mut body = vec![1, 0];
    put_number(&mut body, modules);
    put_number(&mut body, 1);
    put_text(&mut body, "");
    body.push(0x12);
    put_number(&mut body, main);
    body
}

/// A section of aliases, of which those that are functions of one core instance are taken from
/// another.
fn redirected(body: &[u8], from: u32, to: usize) -> Option<Vec<u8>> {
    let aliases = ComponentAliasSectionReader::new(BinaryReader::new(body, 0)).ok()?;
    let mut out = Vec::new();
    put_number(&mut out, aliases.count());
    let aliases: Result<Vec<_>, _> = aliases.into_iter_with_offsets().collect();
    let aliases = aliases.ok()?;
    let ends = aliases.iter().skip(1).map(|(start, _)| *start).chain([body.len()]);
    for ((start, alias), end) in aliases.iter().zip(ends) {
        match alias {
            ComponentAlias::CoreInstanceExport {
                kind: ExternalKind::Func,
                instance_index,
                name,
            } if *instance_index == from => {
                out.extend([0, 0, 1]);
                put_number(&mut out, to);
                put_text(&mut out, name);
            }
            _ => out.extend_from_slice(body.get(*start..end)?),
        }
    }
    Some(out)
}

fn encoded(value: ValType) -> Option<u8> {
    match value {
        ValType::I32 => Some(0x7f),
        ValType::I64 => Some(0x7e),
        ValType::F32 => Some(0x7d),
        ValType::F64 => Some(0x7c),
        ValType::V128 | ValType::Ref(_) => None,
    }
}

fn index(number: u32) -> Option<usize> {
    usize::try_from(number).ok()
}

fn put_section(out: &mut Vec<u8>, id: u8, body: &[u8]) {
    out.push(id);
    put_number(out, body.len());
    out.extend_from_slice(body);
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_number(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

/// Puts a number in LEB128.
fn put_number(out: &mut Vec<u8>, number: impl TryInto<u64>) {
    let mut number: u64 = number.try_into().unwrap_or(u64::MAX);
    loop {
        let [low, ..] = (number & 0x7f).to_le_bytes();
        number >>= 7;
        if number == 0 {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_standard_plugins_get_a_shorter_way_and_stay_valid() {
        assert!(!linkspan_plugins::COMPONENTS.is_empty());
        for (name, component) in linkspan_plugins::COMPONENTS {
            let shorter = shortened(component).unwrap_or_else(|| panic!("{name}"));
            let fault = wasmparser::Validator::new().validate_all(&shorter).err();
            assert!(fault.is_none(), "{name}: {fault:?}");
        }
    }

    #[test]
    fn a_component_whose_parts_lie_otherwise_stays_as_it_is() {
        let text = |rest: &str| {
            let text = format!(
                r#"(component
                    (core module $m (func (export "f") (result i32) i32.const 7))
                    (core instance $i (instantiate $m))
                    {rest})"#
            );
            wat::parse_str(text).unwrap()
        };
        let lifted = r#"(func (export "f") (result u32) (canon lift (core func $i "f")))"#;
        assert!(shortened(&text(lifted)).is_some());
        for rest in [
            "",
            &format!("{lifted} (core module)"),
            &format!(r#"(import "m" (core module)) {lifted}"#),
            &format!(r#"(export "m" (core module $m)) {lifted}"#),
        ] {
            assert!(shortened(&text(rest)).is_none(), "{rest}");
        }
        assert!(shortened(b"").is_none() && shortened(b"\0asm\x0d\0\x01\0").is_none());
        let whole = text(lifted);
        for end in 8..whole.len() {
            // Whatever comes of it, it ends.
            let _ = shortened(whole.get(..end).unwrap_or_default());
        }
    }
}
