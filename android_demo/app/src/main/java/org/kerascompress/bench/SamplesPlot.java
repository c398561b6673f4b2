package org.kerascompress.bench;

import android.content.Context;
import android.graphics.Canvas;
import android.graphics.Paint;
import android.util.AttributeSet;
import android.util.TypedValue;
import android.view.View;
import java.text.NumberFormat;

/** Timings in the order they were taken, on a scale that all cards of a result share. */
public final class SamplesPlot extends View {
    private final Paint dots = new Paint(Paint.ANTI_ALIAS_FLAG);
    private final Paint line = new Paint(Paint.ANTI_ALIAS_FLAG);
    private final Paint text = new Paint(Paint.ANTI_ALIAS_FLAG);
    private double[] samples = new double[0];
    private double median;
    private double top = 1;

    public SamplesPlot(Context context, AttributeSet attributes) {
        super(context, attributes);
        dots.setColor(context.getColor(R.color.accent));
        line.setColor(context.getColor(R.color.baseline));
        line.setStrokeWidth(pixels(1));
        text.setColor(context.getColor(R.color.baseline));
        text.setTextSize(TypedValue.applyDimension(TypedValue.COMPLEX_UNIT_SP, 10,
                getResources().getDisplayMetrics()));
    }

    void show(double[] milliseconds, double middle, double most) {
        samples = milliseconds.clone();
        median = middle;
        top = most > 0 ? most : 1;
        invalidate();
    }

    private float pixels(float dp) {
        return dp * getResources().getDisplayMetrics().density;
    }

    @Override
    protected void onDraw(Canvas canvas) {
        super.onDraw(canvas);
        float width = getWidth();
        float height = getHeight() - text.getTextSize() - pixels(2);
        canvas.drawLine(0, height, width, height, line);
        float middle = y(median, height);
        canvas.drawLine(0, middle, width, middle, line);
        boolean mirrored = getLayoutDirection() == LAYOUT_DIRECTION_RTL;
        for (int i = 0; i < samples.length; i++) {
            float share = (i + 0.5f) / samples.length;
            float x = (mirrored ? 1 - share : share) * width;
            canvas.drawCircle(x, y(samples[i], height), pixels(1.5f), dots);
        }
        NumberFormat format = NumberFormat.getNumberInstance();
        format.setMaximumFractionDigits(3);
        String scale = "0 – " + format.format(top) + " ms";
        canvas.drawText(scale, mirrored ? width - text.measureText(scale) : 0,
                getHeight() - pixels(1), text);
    }

    /** Above the scale is drawn at its upper edge. */
    private float y(double value, float height) {
        return height - (float) (Math.min(value, top) / top) * (height - pixels(3));
    }
}
