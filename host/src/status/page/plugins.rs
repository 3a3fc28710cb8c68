//! The page's plugins: which serve, and what they cost.

use std::fmt::{self, Write as _};

use super::text::{Bytes, Escaped, Micros, Number, Since};
use super::{SHOWN, begin_table, cell, figure, number, optional, rest};
use crate::config::Name;
use crate::status::{CandidateView, PluginView, ShadowView, UnusedView};

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
        let mut shadows = plugins.iter().filter_map(|other| other.shadow.as_ref());
        let named = |shadow: &&ShadowView| shadow.plugin == plugin.name;
        let beside = plugin.shadow_of.as_ref().and_then(|_| shadows.find(named));
        plugin_row(out, plugin, beside)?;
    }
    out.push_str("</tbody></table>");
    rest(out, plugins.len(), SHOWN, "plugin")?;
    out.push_str("</div>\n");
    Ok(())
}

/// The components that no plugin uses, if there are any.
pub(super) fn unused(out: &mut String, unused: &[UnusedView]) -> fmt::Result {
    if unused.is_empty() {
        return Ok(());
    }
    out.push_str("<div class=\"card\">");
    let caption = "Components in the plugin directory that no plugin uses.";
    begin_table(out, "unused", caption, &["Component", "Kind", "State"], &[])?;
    for each in unused.iter().take(SHOWN) {
        let name = Escaped(&each.component);
        write!(out, "<tr role=\"row\"><th scope=\"row\" role=\"rowheader\">{name}</th>")?;
        cell(out, "Kind", each.kinds.join(", "))?;
        let state = match &each.error {
            Some(error) => {
                let error = Escaped(error);
                format!("<span class=\"pill warn\">refused</span><small>{error}</small>")
            }
            None => "<span class=\"pill\">unused</span>".to_owned(),
        };
        cell(out, "State", state)?;
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody></table></div>\n");
    Ok(())
}

fn plugin_row(out: &mut String, plugin: &PluginView, beside: Option<&ShadowView>) -> fmt::Result {
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
    cell(out, "State", state(plugin, beside))?;
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

/// Whether it is in use, and what there is besides; `beside` is what is told of it as a shadow.
fn state(plugin: &PluginView, beside: Option<&ShadowView>) -> String {
    let state = match (plugin.parked, &plugin.shadow_of) {
        (0, None) => "<span class=\"pill good\">in use</span>".to_owned(),
        (0, Some(_)) => "<span class=\"pill\">shadow</span>".to_owned(),
        (parked, _) => {
            format!("<span class=\"pill bad\">parked</span><small>{parked} of its uses</small>")
        }
    };
    let of = plugin.shadow_of.as_ref();
    let compared = of.zip(beside).map(|(of, beside)| compared(of, beside));
    let refusal = |candidate: &CandidateView, what: &str| {
        let reason = Escaped(&candidate.reason);
        format!("<span class=\"pill warn\">{what} is refused</span><small>{reason}</small>")
    };
    let refused = plugin.candidate.as_ref().map(|candidate| refusal(candidate, "another"));
    let trial = plugin.trial.as_ref().map(|trial| {
        let (calls, failures) = (Number(trial.calls), Number(trial.failures));
        format!(
            "<span class=\"pill warn\">another is tried</span><small><code>{}</code> with {}% of the \
             requests: {failures} of {calls} calls failed</small>",
            trial.version, trial.share
        )
    });
    // One that is not called at all has no row of its own.
    let missing = plugin.shadow.as_ref().filter(|shadow| shadow.since.is_none());
    let missing = missing.and_then(|shadow| shadow.candidate.as_ref());
    let missing = missing.map(|candidate| refusal(candidate, "its shadow"));
    [Some(state), compared, trial, refused, missing].into_iter().flatten().collect()
}

/// How the answers of a shadow compare with those of the plugin that it is called beside.
fn compared(of: &Name, shadow: &ShadowView) -> String {
    let ShadowView { calls, agreed, differed, failed, missed, .. } = shadow;
    let [calls, agreed, differed, failed, missed] =
        [calls, agreed, differed, failed, missed].map(|count| Number(*count));
    let costs = shadow.mean_us.zip(shadow.serving_mean_us);
    let costs = costs
        .map(|(own, others)| format!("; a call takes {}, there {}", Micros(own), Micros(others)));
    format!(
        "<small>beside {}: of {calls} calls {agreed} agree, {differed} differ, {failed} failed; \
         {missed} missed{}</small>",
        Escaped(of),
        costs.unwrap_or_default()
    )
}
