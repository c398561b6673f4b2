package org.kerascompress.bench.core;

import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.json.JSONException;
import org.json.JSONObject;

/** Which nodes a delegate really took, as far as the runtime lets one see. */
final class Delegation {
    private static final Pattern REPLACED = Pattern.compile("Replacing (\\d+) out of (\\d+) node\\(s\\)"
            + " with delegate \\(([^)]*)\\) node, yielding (\\d+) partitions");

    /** Said once in a process, when XNNPACK is first made. */
    private static final String CREATED = "Created TensorFlow Lite XNNPACK delegate";

    private Delegation() {}

    /**
     * @param asked the delegate asked for
     * @param operators of the model
     * @param nodesAsRun of the prepared graph, delegates one each; -1 if not told
     * @param before all that the runtime had logged before it opened the model; null if not told
     * @param log the same with what it has logged since
     */
    static JSONObject describe(String asked, int operators, int nodesAsRun, String before, String log)
            throws JSONException {
        String fresh = log == null ? ""
                : before != null && log.startsWith(before) ? log.substring(before.length()) : log;
        Integer taken = null;
        Integer partitions = null;
        String used = "unknown";
        Matcher found = REPLACED.matcher(fresh);
        while (found.find()) {
            int nodes = Integer.parseInt(found.group(1));
            used = nodes > 0 ? name(found.group(3)) : used;
            taken = (taken == null ? 0 : taken) + nodes;
        }
        if (nodesAsRun >= 0) {
            if (taken != null) {
                // One node stands for each partition: as run = operators - taken + partitions.
                int count = nodesAsRun - operators + taken;
                partitions = count >= 0 && count <= taken ? (Integer) count : null;
            } else if (nodesAsRun < operators) {
                used = asked;
            } else if (asked.equals("none")
                    || asked.equals("xnnpack") && log != null && !log.contains(CREATED)) {
                used = "none";
                taken = 0;
                partitions = 0;
            }
            // Else one node of a delegate may stand for one of the model's: not told.
        }
        if (taken != null && taken == 0) {
            used = "none";
            partitions = 0;
        }
        return new JSONObject().put("asked", asked).put("used", used).put("nodes", operators)
                .put("delegated_nodes", taken == null ? JSONObject.NULL : taken)
                .put("partitions", partitions == null ? JSONObject.NULL : partitions)
                .put("nodes_as_run", nodesAsRun < 0 ? JSONObject.NULL : (Object) nodesAsRun);
    }

    private static String name(String delegate) {
        String lower = delegate.toLowerCase(java.util.Locale.ROOT);
        return lower.contains("xnn") ? "xnnpack" : lower.contains("gpu") ? "gpu"
                : lower.contains("binary") || lower.contains("keras") ? "binary" : delegate;
    }
}
