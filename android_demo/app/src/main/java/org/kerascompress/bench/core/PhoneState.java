package org.kerascompress.bench.core;

import org.json.JSONException;
import org.json.JSONObject;

/** What the machine under the app tells about itself; null wherever it does not tell. */
public interface PhoneState {
    /** The `environment` of a result, without the runtime's name and the heat. */
    JSONObject environment() throws JSONException;

    /** Battery temperature, thermal status, throttling, clocks, foreground: as they are now. */
    JSONObject thermal() throws JSONException;

    /** Bytes that may be taken for models without being killed for it. */
    long freeMemory();

    /** All that the runtime has logged in this process; null if it can't be read. */
    String runtimeLog();

    boolean inForeground();
}
