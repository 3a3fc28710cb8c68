//! The page's plugins: which serve, and what they cost.

use std::fmt::{self, Write as _};

use super::text::{Bytes, Escaped, Micros, Number, Since};
use super::{SHOWN, begin_table, cell, figure, number, optional, rest};
use crate::status::PluginView;

pub(super) fn plugins(out: &mut String, plugins: &[PluginView]) -> fmt::Result {
    if plugins.is_empty() {
        out.push_str("<p class=\"card note\">No plugin is in use.</p>\n");
        return Ok(());
    }
    out.push_str("<div class=\"card\">");
    begin_table(
        out,
        "plugins",
        "Costs are times in the guest, of one call in 16. The percentiles are estimated from a histogram.",
        &["Plugin", "Kind", "Version", "Used by", "State"],
        &["Calls", "Failures", "Instances", "Memory", "Mean cost", "p50, p99 cost"],
    )?;
    for plugin in plugins.iter().take(SHOWN) {
        plugin_row(out, plugin)?;
    }
    out.push_str("</tbody></table>");
    rest(out, plugins.len(), SHOWN, "plugin")?;
    out.push_str("</div>\n");
    Ok(())
}

fn plugin_row(out: &mut String, plugin: &PluginView) -> fmt::Result {
    write!(
        out,
        "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\">{}<small>{}, {}</small></th>",
        Escaped(&plugin.name),
        Escaped(&plugin.component),
        plugin.source
    )?;
    cell(out, "Kind", plugin.kinds.join(", "))?;
    let (version, since) = (&plugin.version, Since(&plugin.since));
    cell(out, "Version", format_args!("<code>{version}</code><small>{since}</small>"))?;
    let (uses, more) = plugin.used_by.split_at(plugin.used_by.len().min(3));
    let uses: Vec<_> = uses.iter().map(|used| Escaped(used).to_string()).collect();
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    let uses = if uses.is_empty() { "nothing".to_owned() } else { uses.join("<br>") };
    cell(out, "Used by", format_args!("<small>{uses}{more}</small>"))?;
    let state = match plugin.parked {
        0 => "<span class=\"pill good\">in use</span>".to_owned(),
        parked => {
            format!("<span class=\"pill bad\">parked</span><small>{parked} of its uses</small>")
        }
    };
    let refused = plugin.candidate.as_ref().map(|candidate| {
        let reason = Escaped(&candidate.reason);
        format!("<span class=\"pill warn\">another is refused</span><small>{reason}</small>")
    });
    let trial = plugin.trial.as_ref().map(|trial| {
        let (calls, failures) = (Number(trial.calls), Number(trial.failures));
        format!(
            "<span class=\"pill warn\">another is tried</span><small><code>{}</code> with {}% of the \
             requests: {failures} of {calls} calls failed</small>",
            trial.version, trial.share
        )
    });
    cell(out, "State", [Some(state), trial, refused].into_iter().flatten().collect::<String>())?;
    figure(out, "Calls", plugin.calls)?;
    let causes = plugin.failures_by_cause.iter().filter(|(_, count)| **count > 0);
    let causes: Vec<_> =
        causes.map(|(cause, count)| format!("{cause} {}", Number(*count))).collect();
    number(out, "Failures", plugin.failures, &causes.join("<br>"))?;
    let busy = match plugin.busy {
        0 => String::new(),
        busy => format!("none free {} times", Number(busy)),
    };
    number(out, "Instances", plugin.live_instances, &busy)?;
    let peak = format!("at most {}", Bytes(plugin.memory_peak_bytes));
    optional(
        out,
        "n",
        "Memory",
        Some(format!("{}<small>{peak}</small>", Bytes(plugin.memory_bytes))),
    )?;
    optional(out, "n", "Mean cost", plugin.mean_us.map(|us| Micros(us).to_string()))?;
    let percentiles = plugin.p50_us.zip(plugin.p99_us);
    let percentiles =
        percentiles.map(|(p50, p99)| format!("≈ {}<small>≈ {}</small>", Micros(p50), Micros(p99)));
    optional(out, "n", "p50, p99 cost", percentiles)?;
    out.push_str("</tr>\n");
    Ok(())
}
