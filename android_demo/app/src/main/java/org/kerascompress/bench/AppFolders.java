package org.kerascompress.bench;

import android.content.Context;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.kerascompress.bench.core.ModelPlaces;
import org.kerascompress.bench.core.ResultFiles;

/** Where this app keeps things: the external-files folder, which adb reaches without root. */
final class AppFolders implements ModelPlaces.Bundled {
    private final Context context;

    AppFolders(Context context) {
        this.context = context.getApplicationContext();
    }

    /** The external-files folder; the internal one while no external storage is mounted. */
    private File base() {
        File external = context.getExternalFilesDir(null);
        return external != null ? external : context.getFilesDir();
    }

    File models() {
        File folder = new File(base(), "models");
        folder.mkdirs();
        return folder;
    }

    ModelPlaces places() {
        return new ModelPlaces(models(), Arrays.asList(base(), context.getFilesDir()), this);
    }

    ResultFiles results() {
        File folder = new File(base(), "results");
        folder.mkdirs();
        return new ResultFiles(folder);
    }

    @Override
    public List<String> names() throws IOException {
        List<String> names = new ArrayList<>();
        for (String name : context.getAssets().list("")) {
            if (ModelPlaces.isModel(name)) {
                names.add(name);
            }
        }
        return names;
    }

    @Override
    public InputStream open(String name) throws IOException {
        return context.getAssets().open(name);
    }
}
