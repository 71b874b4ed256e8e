// SPDX-License-Identifier: GPL-2.0

//! Takes every constant of the netlink family from `uapi/stor.h`, and those of netlink itself from
//! the headers of the system.
//!
//! The header is generated from the family's specification, so the numbers, and the names that
//! the specification gives to attributes, features and states, have one source.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use bindgen::callbacks::{EnumVariantValue, ParseCallbacks};

/// Enum constants of the header in the order they are met.
type Variants = Arc<Mutex<Vec<(String, u64)>>>;

/// Notes every enum constant while bindgen reads the header.
#[derive(Debug)]
struct Collect(Variants);

impl ParseCallbacks for Collect {
    fn enum_variant_name(
        &self,
        _enum_name: Option<&str>,
        name: &str,
        value: EnumVariantValue,
    ) -> Option<String> {
        let value = match value {
            EnumVariantValue::Boolean(v) => u64::from(v),
            EnumVariantValue::Signed(v) => u64::try_from(v).ok()?,
            EnumVariantValue::Unsigned(v) => v,
        };
        let mut variants = self.0.lock().ok()?;
        if !variants.iter().any(|(known, _)| known == name) {
            variants.push((name.to_owned(), value));
        }
        None
    }
}

/// A table of (number, name) for all constants that begin with `prefix`, names as in the
/// specification.
fn table(variants: &[(String, u64)], what: &str, ident: &str, prefix: &str) -> String {
    let mut text =
        format!("/// Numbers and names of {what}.\npub const {ident}: &[(u64, &str)] = &[\n");
    for (name, value) in variants {
        let Some(short) = name.strip_prefix(prefix) else {
            continue;
        };
        if short == "MAX" {
            continue;
        }
        let short = short.to_lowercase().replace('_', "-");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "    ({value}, \"{short}\"),");
    }
    text.push_str("];\n");
    text
}

/// The constants of netlink itself, from the kernel headers of the build host.
fn netlink() -> Result<bindgen::Bindings, bindgen::BindgenError> {
    bindgen::Builder::default()
        .header_contents(
            "netlink.h",
            "#include <linux/netlink.h>\n#include <linux/genetlink.h>\n",
        )
        .allowlist_var("(NLM|NLMSG|NLMSGERR|NLA|NL_POLICY|GENL|CTRL)_.*")
        .allowlist_type("nlmsgerr_attrs|netlink_policy_type_attr")
        .prepend_enum_name(false)
        .layout_tests(false)
        .generate_cstr(true)
        .formatter(bindgen::Formatter::Prettyplease)
        .generate()
}

fn main() -> Result<(), Box<dyn Error>> {
    let header = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../uapi/stor.h");
    let header = header
        .to_str()
        .ok_or("the path of uapi/stor.h is not UTF-8")?;
    println!("cargo::rerun-if-changed={header}");
    println!("cargo::rerun-if-changed=build.rs");

    let variants = Variants::default();
    let bindings = bindgen::Builder::default()
        .header(header)
        .allowlist_item("(STOR|stor)_.*")
        .prepend_enum_name(false)
        .layout_tests(false)
        .generate_cstr(true)
        .formatter(bindgen::Formatter::Prettyplease)
        .parse_callbacks(Box::new(Collect(variants.clone())))
        .generate()?;

    let variants = variants.lock().map_err(|_| "poisoned")?;
    let mut text = bindings.to_string();
    for (what, ident, prefix) in [
        (
            "the attributes of a volume",
            "VOLUME_ATTRS",
            "STOR_A_VOLUME_",
        ),
        ("the attributes of the module", "INFO_ATTRS", "STOR_A_INFO_"),
        ("the attributes of statistics", "STAT_ATTRS", "STOR_A_STAT_"),
        ("the features, by mask", "FEATURES", "STOR_FEATURE_"),
        (
            "the states of a volume",
            "VOLUME_STATES",
            "STOR_VOLUME_STATE_",
        ),
        (
            "what happens to the I/O of locked volumes",
            "VOLUME_LOCKS",
            "STOR_VOLUME_LOCK_",
        ),
        ("who encrypts", "CRYPTO_ENGINES", "STOR_CRYPTO_ENGINE_"),
        ("what I/Os do", "STAT_OPS", "STOR_STAT_OP_"),
        (
            "the parts of an I/O's way",
            "STAT_STAGES",
            "STOR_STAT_STAGE_",
        ),
        ("how I/Os fail", "STAT_STATUSES", "STOR_STAT_STATUS_"),
        ("the commands and notifications", "COMMANDS", "STOR_CMD_"),
    ] {
        text.push('\n');
        text.push_str(&table(&variants, what, ident, prefix));
    }

    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("uapi.rs"), text)?;
    netlink()?.write_to_file(out.join("netlink.rs"))?;
    Ok(())
}
