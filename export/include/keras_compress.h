/* C ABI of the keras_compress native core: packing a `.tflite` into a `.kcz` and back, lossless.
 *
 * Rules of this interface
 *   - No C++ type and no exception crosses it. All functions are thread safe: there is no global
 *     mutable state, and nothing is shared between two calls.
 *   - Input and output of one call must not overlap.
 *   - Functions of a caller's (`kc_source`, `kc_sink`) are called in the thread that called, and
 *     must not let an exception out.
 *   - Memory handed out (`kc_bytes`) is given back with `kc_free`.
 *   - A call can be stopped from another thread: see kc_watch.
 *   - `kc_abi_version` grows by one when an existing function changes; new functions may be
 *     added without.
 */
#ifndef KERAS_COMPRESS_H_
#define KERAS_COMPRESS_H_

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(_WIN32)
#define KC_API __declspec(dllexport)
#else
#define KC_API __attribute__((visibility("default")))
#endif

#define KC_ABI_VERSION 1

/* What went wrong. The place (`kc_error.section`) says where. */
typedef enum kc_status {
  KC_OK = 0,
  KC_ERROR_ARGUMENT = 1,    /* a null pointer or an unknown codec */
  KC_ERROR_MEMORY = 2,      /* malloc failed */
  KC_ERROR_LIMIT = 3,       /* declared size is over the caller's limit or buffer */
  KC_ERROR_NOT_PACKED = 4,  /* the magic is not that of a packed file */
  KC_ERROR_VERSION = 5,     /* written by a newer version */
  KC_ERROR_TRUNCATED = 6,   /* the file ends early */
  KC_ERROR_TRAILING = 7,    /* bytes after the last section */
  KC_ERROR_CHECKSUM = 8,    /* bytes were changed */
  KC_ERROR_MALFORMED = 9,   /* a field holds a value that no writer writes */
  KC_ERROR_CALLER = 10,     /* a function of the caller's did not return 0 */
  KC_ERROR_NO_BASE = 11,    /* a patch, opened without the file it was made for */
  KC_ERROR_BASE = 12,       /* a patch, and another file than the one it was made for */
  KC_ERROR_STOPPED = 13,    /* the caller asked for it, by way of kc_watch */
  KC_ERROR_UNSUPPORTED = 14 /* a form or method with a number that this library doesn't know */
} kc_status;

/* Where an error was found. */
typedef enum kc_place {
  KC_PLACE_NONE = 0,
  KC_PLACE_HEADER = 1,
  KC_PLACE_SKELETON = 2,
  KC_PLACE_DATA = 3, /* `section` is the number of the data section, from 1 */
  KC_PLACE_WHOLE = 4
} kc_place;

typedef struct kc_error {
  int32_t status; /* kc_status */
  int32_t place;  /* kc_place */
  uint32_t section;
  uint32_t version; /* with KC_ERROR_VERSION: the version of the file */
  uint64_t value;   /* with KC_ERROR_LIMIT: the declared size; with KC_ERROR_(NO_)BASE: the base's */
} kc_error;

/* What packing goes for: restoring as fast as can be; small, and restored faster than xz does; the
 * smallest file there is; or (auto) the smallest that is restored within a budget of time. */
typedef enum kc_codec {
  KC_CODEC_AUTO = 0,
  KC_CODEC_FAST = 1,
  KC_CODEC_SMALL = 2,
  KC_CODEC_SMALLEST = 3
} kc_codec;

/* Memory of the library's own; give it back with kc_free. */
typedef struct kc_bytes {
  uint8_t* data;
  size_t size;
} kc_bytes;

KC_API uint32_t kc_abi_version(void);
/* From here on, calls in the calling thread look at `*stop` each few milliseconds. Once another thread
 * has made it other than 0 (as an aligned int32_t, in one store) they return KC_ERROR_STOPPED soon and
 * free what they had; what they had written into a caller's memory or sink stays. The flag must live,
 * and stay as it is, until the calls have returned. Null, the state at first: none. Returns the flag
 * before. A job of several threads has the same flag in each of them. */
KC_API const int32_t* kc_watch(const int32_t* stop);
/* Newest format version this library reads and the one it writes. */
KC_API uint32_t kc_format_version(void);

/* One constant buffer of a packed file, in file order. */
typedef struct kc_extent {
  uint64_t offset;  /* in the original */
  uint64_t size;    /* bytes restored */
  uint32_t method;  /* how it is coded: see kc_method_name */
  uint32_t element; /* bytes of one element */
  uint32_t symbols; /* entries of the codebook, 0 if none */
  uint32_t section; /* data section, from 1; 0 if it needs none */
  uint64_t row;     /* elements of one row (filter) */
  uint64_t last;    /* elements of the last dimension */
  uint64_t bits;    /* taken in the packed file, to within a byte or two */
} kc_extent;

typedef struct kc_summary {
  uint32_t format_version;
  uint32_t sections; /* all, with the skeleton's */
  uint32_t extents;
  uint32_t reserved;
  uint64_t original_size;
  uint64_t packed_size;
  uint64_t skeleton_size;   /* bytes of the original outside all extents */
  uint64_t skeleton_packed; /* bytes of the section that holds them, and the plan */
} kc_summary;

/* Packs any bytes. The result is at most `size + 64` bytes. */
KC_API int32_t kc_pack(const uint8_t* data, size_t size, int32_t codec, kc_bytes* out, kc_error* error);

/* As kc_pack, and says what became of each constant buffer. `extents` may be null; at most
 * `capacity` are written and `summary->extents` says how many there are. */
KC_API int32_t kc_pack_report(const uint8_t* data, size_t size, int32_t codec, kc_bytes* out,
                              kc_summary* summary, kc_extent* extents, size_t capacity, kc_error* error);

/* Packing in steps, for several threads: open says how many sections there are, 0 to *sections - 1;
 * each may be worked on by one thread, in any order, while `data` stays as it is. Close does what was
 * left, hands out the same bytes as kc_pack_report, and frees the job, after an error, too. */
typedef struct kc_job kc_job;
KC_API int32_t kc_pack_open(const uint8_t* data, size_t size, int32_t codec, kc_job** job, uint32_t* sections,
                            kc_error* error);
KC_API void kc_pack_section(kc_job* job, uint32_t section);
KC_API int32_t kc_pack_close(kc_job* job, kc_bytes* out, kc_summary* summary, kc_extent* extents,
                             size_t capacity, kc_error* error);

/* Packs `data` as a patch: with `base` at hand, which is another file, mostly an older model of the
 * same graph, kc_file_open_patch restores `data`. */
KC_API int32_t kc_pack_patch(const uint8_t* data, size_t size, const uint8_t* base, size_t base_size,
                             kc_bytes* out, kc_error* error);

/* Size of the original, as the (checked) header declares it. */
KC_API int32_t kc_unpacked_size(const uint8_t* packed, size_t size, uint64_t* out, kc_error* error);

/* Restores the original. `max_size` bounds what is allocated; 0 means no limit of the caller's. */
KC_API int32_t kc_unpack(const uint8_t* packed, size_t size, uint64_t max_size, kc_bytes* out,
                         kc_error* error);

/* Restores into the caller's buffer of `capacity` bytes and sets `*written`. After an error the
 * buffer's contents are unspecified. */
KC_API int32_t kc_unpack_into(const uint8_t* packed, size_t size, uint8_t* out, size_t capacity,
                              size_t* written, kc_error* error);

/* As kc_unpack, and says how the file is coded, as kc_pack_report does. */
KC_API int32_t kc_inspect(const uint8_t* packed, size_t size, uint64_t max_size, kc_bytes* out,
                          kc_summary* summary, kc_extent* extents, size_t capacity, kc_error* error);

/* Checks everything and hands nothing out. */
KC_API int32_t kc_verify(const uint8_t* packed, size_t size, uint64_t max_size, kc_error* error);

/* A packed file that is read in pieces: `data`, or, where that is null, `read`, which fills `to`
 * with `size` bytes from `offset` on, which lie within the file's `size`, and returns 0. */
typedef struct kc_source {
  const uint8_t* data;
  uint64_t size;
  int32_t (*read)(void* context, uint64_t offset, uint8_t* to, size_t size);
  void* context;
} kc_source;

/* Takes restored bytes, in any order; each byte of the original comes once. Returns 0 to go on. */
typedef struct kc_sink {
  int32_t (*write)(void* context, uint64_t offset, const uint8_t* data, size_t size);
  void* context;
} kc_sink;

/* An opened packed file. Opening reads the header, the plan and the graph; the sections of data stay
 * where they are until they are asked for. Several threads may restore sections of one file at once,
 * each section in one thread, if the source's and the sink's functions allow it. */
typedef struct kc_file kc_file;
KC_API int32_t kc_file_open(const kc_source* source, uint64_t max_size, kc_file** file, kc_summary* summary,
                            kc_error* error);
/* As kc_file_open; a patch is held beside `base`, which must stay in memory until the file is closed
 * and be the one it was made for. */
KC_API int32_t kc_file_open_patch(const kc_source* source, const uint8_t* base, size_t base_size,
                                  uint64_t max_size, kc_file** file, kc_summary* summary, kc_error* error);
KC_API void kc_file_close(kc_file* file);
/* Its constant buffers (a large one in several parts); at most `capacity` are written. */
KC_API void kc_file_extents(const kc_file* file, kc_extent* extents, size_t capacity);
/* Restores what section `section` holds, from 0 to the summary's `sections` - 1: into `memory`, which
 * has room for the whole original, if it isn't null, else to `sink`, else nowhere, as a check. */
KC_API int32_t kc_file_section(kc_file* file, uint32_t section, uint8_t* memory, const kc_sink* sink,
                               kc_error* error);
/* After all sections: holds the whole against its checksum. */
KC_API int32_t kc_file_finish(kc_file* file, kc_error* error);
/* Restores `size` bytes from `offset` on, decoding only the sections that hold some of them. Their
 * checksums are checked; that of the whole can't be. */
KC_API int32_t kc_file_read(kc_file* file, uint64_t offset, size_t size, uint8_t* out, kc_error* error);

/* One constant buffer of a `.tflite`, as the walker finds it. */
typedef struct kc_tensor {
  uint64_t offset; /* of the data in the file */
  uint64_t size;
  uint32_t buffer; /* index in the model's list of buffers */
  int32_t type;    /* TFLite TensorType, -1 if no tensor uses the buffer */
  uint32_t rank;
  int32_t shape[8];
  uint64_t name_offset; /* of the first tensor that uses it; 0 if none */
  uint32_t name_size;
  uint32_t users; /* tensors that share the buffer */
} kc_tensor;

/* Lists the constant buffers of a `.tflite`, or of those that a bundle holds as they are (a zip with
 * stored entries, such as `.task`, or a `.litertlm`). Returns KC_ERROR_MALFORMED if it is neither. */
KC_API int32_t kc_tensors(const uint8_t* model, size_t size, kc_tensor* tensors, size_t capacity,
                          size_t* count);
/* What is in a `.tflite` and not in that list. */
typedef struct kc_unlisted {
  uint32_t sparse;      /* listed, but the buffer holds the kept values of a sparse tensor only */
  uint32_t overlapping; /* buffers that share some of their bytes with a listed one */
  uint32_t elsewhere;   /* tensors whose data lie in another file */
  uint32_t options;     /* operators whose custom options lie behind the FlatBuffer */
} kc_unlisted;

KC_API int32_t kc_unlisted_parts(const uint8_t* model, size_t size, kc_unlisted* out);
/* A model in a bundle, or a bundle in a bundle, which stands before what it holds. */
typedef struct kc_part {
  uint64_t offset; /* in the file */
  uint64_t size;
  uint64_t name_offset; /* of its name in the file */
  uint32_t name_size;   /* 0 if it has none */
  uint32_t parent;      /* number of the bundle that it stands in, from 1; 0 if that is the file */
} kc_part;

/* Lists the models of a bundle, in file order; of a `.tflite` there are none. */
KC_API int32_t kc_parts(const uint8_t* bundle, size_t size, kc_part* parts, size_t capacity, size_t* count);
/* The same of an opened packed file. */
KC_API int32_t kc_file_parts(kc_file* file, kc_part* parts, size_t capacity, size_t* count, kc_error* error);
/* The same as kc_tensors of an opened packed file, from its graph alone: no section of data is decoded. */
KC_API int32_t kc_file_tensors(kc_file* file, kc_tensor* tensors, size_t capacity, size_t* count,
                               kc_error* error);

typedef struct kc_statistics {
  uint64_t count;    /* elements */
  uint64_t zeros;    /* of them zero; of floats, minus zero counts, too */
  uint64_t distinct; /* values */
  double entropy;    /* order 0, in bits an element */
} kc_statistics;

/* Counts over elements of `width` bytes: 1, 2, 4 or 8. */
KC_API int32_t kc_count_values(const uint8_t* data, size_t size, int32_t width, int32_t is_float,
                               kc_statistics* out);

KC_API void kc_free(kc_bytes* bytes);

/* Static English text, never null. */
KC_API const char* kc_status_message(int32_t status);
KC_API const char* kc_place_name(int32_t place);
KC_API const char* kc_method_name(uint32_t method);

#ifdef __cplusplus
}
#endif

#endif /* KERAS_COMPRESS_H_ */
