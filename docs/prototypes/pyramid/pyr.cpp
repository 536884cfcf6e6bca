// Prototype: one step of the pyramid fit, forward and backward, in float32 (docs/experiments.md, 13).
// g++ -O3 -march=native -ffast-math -fno-finite-math-only -shared -fPIC -std=c++17 -o libpyr.so pyr.cpp -lpthread
#include <cstdint>
#include <cstring>
#include <cmath>
#include <vector>
#include <thread>
#include <algorithm>
#include <functional>
typedef float v16 __attribute__((vector_size(64)));
typedef float v16u __attribute__((vector_size(64), aligned(4)));
typedef int32_t i16 __attribute__((vector_size(64)));
static inline v16 ld(const float* p) { return *(const v16u*)p; }
static inline void st(float* p, v16 x) { *(v16u*)p = x; }
static inline v16 all(float x) { return v16{} + x; }
static inline v16 sel(i16 m, v16 a, v16 b) { return (v16)((m & (i16)a) | (~m & (i16)b)); }
static inline v16 vmax(v16 a, v16 b) { return sel(a > b, a, b); }
static inline v16 vmin(v16 a, v16 b) { return sel(a < b, a, b); }
static inline v16 vabs(v16 a) { return (v16)((i16)a & 0x7fffffff); }
static inline float hsum(v16 a) { float s = 0; for (int i = 0; i < 16; i++) s += a[i]; return s; }
static inline v16 vexp(v16 x) {
    x = vmin(vmax(x * 1.44269504f, all(-126.f)), all(126.f));
    i16 n = __builtin_convertvector(x + sel(x < 0, all(-.5f), all(.5f)), i16);
    v16 f = (x - __builtin_convertvector(n, v16)) * 0.69314718f;
    v16 p = 1.f + f * (1.f + f * (.5f + f * (.16666667f + f * (.04166667f + f * (.00833333f + f * .00138889f)))));
    return p * (v16)((n + 127) << 23);
}
static inline v16 vlog2(v16 x) {
    i16 b = (i16)x;
    i16 e = (b >> 23) - 127;
    v16 m = (v16)((b & 0x7fffff) | 0x3f800000);
    i16 big = m > 1.41421356f;
    m = sel(big, m * .5f, m);
    e = e - big;
    v16 t = (m - 1.f) / (m + 1.f), t2 = t * t;
    v16 l = t * (2.f + t2 * (.66666667f + t2 * (.4f + t2 * (.28571429f + t2 * .22222222f))));
    return __builtin_convertvector(e, v16) + l * 1.44269504f;
}
static inline v16 vtanh(v16 x) { v16 e = vexp(2.f * x); return 1.f - 2.f / (e + 1.f); }

const int B = 64;  // positions of a block: 4 vectors
// out[o][B] = bias[o] + sum_k W[o*ldw + k*ldk] x[k][B]
static inline void dense(float* out, const float* W, int so, int sk, const float* bias, const float* x, int O, int K, bool add) {
    int o = 0;
    for (; o + 4 <= O; o += 4) {
        v16 a[4][4];
        for (int i = 0; i < 4; i++) for (int j = 0; j < 4; j++)
            a[i][j] = add ? ld(out + (o + i) * B + 16 * j) : all(bias ? bias[o + i] : 0.f);
        for (int k = 0; k < K; k++) {
            v16 xv[4];
            for (int j = 0; j < 4; j++) xv[j] = ld(x + k * B + 16 * j);
            for (int i = 0; i < 4; i++) {
                v16 w = all(W[(o + i) * so + k * sk]);
                for (int j = 0; j < 4; j++) a[i][j] += w * xv[j];
            }
        }
        for (int i = 0; i < 4; i++) for (int j = 0; j < 4; j++) st(out + (o + i) * B + 16 * j, a[i][j]);
    }
    for (; o < O; o++) {
        v16 a[4];
        for (int j = 0; j < 4; j++) a[j] = add ? ld(out + o * B + 16 * j) : all(bias ? bias[o] : 0.f);
        for (int k = 0; k < K; k++) {
            v16 w = all(W[o * so + k * sk]);
            for (int j = 0; j < 4; j++) a[j] += w * ld(x + k * B + 16 * j);
        }
        for (int j = 0; j < 4; j++) st(out + o * B + 16 * j, a[j]);
    }
}
// dW[o*K + k] += sum_b g[o][b] x[k][b]
static inline void outer(float* dW, const float* g, const float* x, int O, int K) {
    for (int o = 0; o < O; o += 4) {
        int on = std::min(4, O - o);
        for (int k = 0; k < K; k += 4) {
            int kn = std::min(4, K - k);
            if (on == 4 && kn == 4) {
                v16 a[4][4] = {};
                for (int j = 0; j < 4; j++) {
                    v16 xv[4], gv[4];
                    for (int i = 0; i < 4; i++) { xv[i] = ld(x + (k + i) * B + 16 * j); gv[i] = ld(g + (o + i) * B + 16 * j); }
                    for (int i = 0; i < 4; i++) for (int l = 0; l < 4; l++) a[i][l] += gv[i] * xv[l];
                }
                for (int i = 0; i < 4; i++) for (int l = 0; l < 4; l++) dW[(o + i) * K + k + l] += hsum(a[i][l]);
            } else {
                for (int i = 0; i < on; i++) for (int l = 0; l < kn; l++) {
                    v16 a = {};
                    for (int j = 0; j < 4; j++) a += ld(g + (o + i) * B + 16 * j) * ld(x + (k + l) * B + 16 * j);
                    dW[(o + i) * K + k + l] += hsum(a);
                }
            }
        }
    }
}
static inline void bsum(float* db, const float* g, int O) {
    for (int o = 0; o < O; o++) { v16 a = {}; for (int j = 0; j < 4; j++) a += ld(g + o * B + 16 * j); db[o] += hsum(a); }
}
// layers: n sizes s[0..n]; relu between; plus linear skip s[0] -> s[n]. Parameters: W,b per layer, then skip W.
struct Mlp {
    int n; int s[6];
    int count() const { int c = s[0] * s[n]; for (int i = 0; i < n; i++) c += s[i + 1] * (s[i] + 1); return c; }
    void forward(const float* p, const float* x, float h[4][64 * B], float* out) const {
        const float* in = x;
        for (int i = 0; i < n; i++) {
            float* o = i + 1 < n ? h[i] : out;
            dense(o, p, s[i], 1, p + s[i + 1] * s[i], in, s[i + 1], s[i], false);
            if (i + 1 < n) for (int q = 0; q < s[i + 1] * B; q += 16) st(o + q, vmax(ld(o + q), v16{}));
            p += s[i + 1] * (s[i] + 1);
            in = o;
        }
        dense(out, p, s[0], 1, nullptr, x, s[n], s[0], true);
    }
    void backward(const float* p, float* dp, const float* x, float h[4][64 * B], const float* gout, float* gx) const {
        int off[6]; int c = 0;
        for (int i = 0; i < n; i++) { off[i] = c; c += s[i + 1] * (s[i] + 1); }
        dense(gx, p + c, 1, s[0], nullptr, gout, s[0], s[n], false);
        outer(dp + c, gout, x, s[n], s[0]);
        static thread_local float g2[2][64 * B];
        const float* g = gout;
        for (int i = n - 1; i >= 0; i--) {
            const float* in = i ? h[i - 1] : x;
            outer(dp + off[i], g, in, s[i + 1], s[i]);
            bsum(dp + off[i] + s[i + 1] * s[i], g, s[i + 1]);
            if (i) {
                float* gi = g2[i & 1];
                dense(gi, p + off[i], 1, s[i], nullptr, g, s[i], s[i + 1], false);
                for (int q = 0; q < s[i] * B; q += 16) st(gi + q, sel(ld(in + q) > 0, ld(gi + q), v16{}));
                g = gi;
            } else dense(gx, p, 1, s[0], nullptr, g, s[0], s[1], true);
        }
    }
};

const int PAD = 8, TOP = 4;
struct Plane {
    int h = 0, w = 0, stride = 0; std::vector<float> d;
    void make(int hh, int ww) { h = hh; w = ww; stride = ww + 2 * PAD + B; d.assign((size_t)(h + 2 * TOP) * stride, 0.f); }
    float* row(int r) { return d.data() + (size_t)(r + TOP) * stride + PAD; }
    void zero() { std::fill(d.begin(), d.end(), 0.f); }
};
struct Fit {
    int H, W, L, threads; Mlp arm, syn; int spatial; int inter;
    std::vector<Plane> y, v, dsr, gv, m1, m2;        // per level; gv: gradient wrt v
    std::vector<std::vector<Plane>> gt;              // per thread extra gradient
    std::vector<std::vector<Plane>> up, gup;         // up[l][s]: level l upsampled to resolution s (s = l-1 .. 0)
    std::vector<Plane> img, out, o1, o2, gI, gJ;     // RGB
    std::vector<std::vector<float>> gp;              // per-thread parameter gradients
    std::vector<double> tb, td;                      // per-thread bits, squared error
    std::vector<Plane> tmp;
    int nparam() const { return arm.count() + syn.count() + ups() + 2 * 84; }
    int ups() const { return 4 * (L - 1); }
};
static const int OFF[14][2] = {{0,-1},{-1,0},{-1,-1},{-1,1},{0,-2},{-2,0},{-1,-2},{-1,2},{-2,-1},{-2,1},{0,-3},{-1,-3},{-2,-2},{-3,0}};
static const int CO[9][2] = {{0,0},{0,1},{1,0},{0,-1},{-1,0},{1,1},{1,-1},{-1,1},{-1,-1}};

static void par(int threads, int n, const std::function<void(int, int, int)>& f) {
    if (threads == 1 || n < 2 * threads) { f(0, 0, n); return; }
    std::vector<std::thread> t;
    for (int i = 1; i < threads; i++) t.emplace_back(f, i, n * i / threads, n * (i + 1) / threads);
    f(0, 0, n / threads);
    for (auto& x : t) x.join();
}
// context + rate of level l, rows [r0, r1)
static double rate_rows(Fit& F, int l, const float* p, float* dp, float lam, int t, int r0, int r1, bool grad, float* bits_map) {
    static thread_local float x[40 * B], h[4][64 * B], o[4 * B], go[4 * B], gx[40 * B];
    Plane& V = F.v[l]; int S = F.spatial, C = F.arm.s[0];
    int nc = F.inter;  // coarser inputs: up to 9 of l+1 (CO), then centre of l+2, l+3
    int n1 = std::min(nc, nc > 5 ? nc - 2 : nc), n23 = nc - n1;
    double bits = 0;
    for (int r = r0; r < r1; r++) for (int c = 0; c < V.w; c += B) {
        for (int k = 0; k < S; k++) { const float* s = V.row(r + OFF[k][0]) + c + OFF[k][1]; for (int b = 0; b < B; b += 16) st(x + k * B + b, ld(s + b)); }
        for (int k = 0; k < nc; k++) {
            int lev = k < n1 ? l + 1 : l + 2 + (k - n1), sh = lev - l;
            float* q = x + (S + k) * B;
            if (lev >= F.L) { memset(q, 0, B * 4); continue; }
            Plane& P = F.v[lev];
            int dy = k < n1 ? CO[k][0] : 0, dx = k < n1 ? CO[k][1] : 0;
            if (k < n1 && (r & 1)) dy = dy; 
            const float* s = P.row(std::min((r >> sh) + dy, P.h)) + dx;
            int base = c >> sh;
            for (int b = 0; b < B; b++) q[b] = s[base + (((c & ((1 << sh) - 1)) + b) >> sh)];
        }
        F.arm.forward(p, x, h, o);
        int valid = std::min(B, V.w - c);
        const float* vr = V.row(r) + c;
        for (int b = 0; b < B; b += 16) {
            v16 mu = ld(o + b), raw = ld(o + B + b) - 1.f, val = ld(vr + b);
            v16 ls = vmin(vmax(raw, all(-3.f)), all(5.f));
            v16 ib = vexp(-ls), e = val - mu, ae = vabs(e);
            v16 hb = .5f * ib, E = vexp(-hb);
            // tail
            v16 sh = .5f * (1.f / E - E);
            v16 coth = (1.f / E + E) / (1.f / E - E);
            i16 large = hb > 20.f;
            v16 l2sh = sel(large, hb * 1.44269504f - 1.f, vlog2(vmax(sh, all(1e-30f))));
            coth = sel(large, all(1.f), coth);
            v16 bt = ae * ib * 1.44269504f - l2sh;
            v16 gt_e = ib * 1.44269504f, gt_l = (hb * coth - ae * ib) * 1.44269504f;
            // centre
            v16 tt = vmin(ae, all(.5f)) * ib;
            v16 ep = vexp(tt - hb), em = vexp(-tt - hb);
            v16 cc = .5f * (ep + em), ss = .5f * (ep - em);
            v16 pc = vmax(1.f - cc, all(1e-6f));
            v16 bc = -vlog2(pc);
            v16 k2 = 1.44269504f / pc;
            v16 gc_e = ss * ib * k2, gc_l = (hb * cc - tt * ss) * k2;
            i16 in = ae < .5f;
            v16 bb = sel(in, bc, bt), ge = sel(in, gc_e, gt_e), gl = sel(in, gc_l, gt_l);
            ge = sel(e < 0, -ge, ge);
            gl = sel((raw < -3.f) | (raw > 5.f), v16{}, gl);
            i16 fl = bb > 24.f;
            bb = sel(fl, all(24.f), bb);
            i16 lane; for (int i = 0; i < 16; i++) lane[i] = (b + i < valid) ? -1 : 0;
            bb = sel(lane, bb, v16{});
            bits += hsum(bb);
            if (bits_map) for (int i = 0; i < 16 && b + i < valid; i++) bits_map[(size_t)r * V.w + c + b + i] = bb[i];
            ge = sel(lane, ge * lam, v16{}); gl = sel(lane, gl * lam, v16{});
            st(go + b, -ge); st(go + B + b, gl);
            if (grad) { float* g = F.gt[t][l].row(r) + c + b; st(g, ld(g) + ge); }
        }
        if (!grad) continue;
        F.arm.backward(p, dp, x, h, go, gx);
        for (int k = 0; k < S; k++) { float* s = F.gt[t][l].row(r + OFF[k][0]) + c + OFF[k][1]; for (int b = 0; b < B; b += 16) st(s + b, ld(s + b) + ld(gx + k * B + b)); }
        for (int k = 0; k < nc; k++) {
            int lev = k < n1 ? l + 1 : l + 2 + (k - n1), sh = lev - l;
            if (lev >= F.L) continue;
            Plane& P = F.gt[t][lev];
            int dy = k < n1 ? CO[k][0] : 0, dx = k < n1 ? CO[k][1] : 0;
            float* s = P.row(std::min((r >> sh) + dy, P.h)) + dx; int base = c >> sh;
            const float* q = gx + (S + k) * B;
            for (int b = 0; b < valid; b++) s[base + (((c & ((1 << sh) - 1)) + b) >> sh)] += q[b];
        }
    }
    return bits;
}
// x2 upsampling, 8 taps symmetric: even output 2i uses k[3],k[1]... phases: out[2i] = sum_j a_j in[i-2+j], out[2i+1] mirrored
static void upsample(Plane& in, Plane& o, Plane& tmp, const float* k, int threads) {
    // sample centres: out 2i is at i - .25; taps at i-2,i-1,i,i+1 : k0,k1,k2,k3 ; out 2i+1 at i + .25: taps i-1..i+2 : k3,k2,k1,k0
    int h = in.h, w = in.w;
    auto cl = [](int a, int n) { return a < 0 ? 0 : a >= n ? n - 1 : a; };
    par(threads, o.h, [&](int, int a, int b) {
        for (int r = a; r < b; r++) {
            int i = r >> 1; const float* s[4]; float q[4];
            for (int j = 0; j < 4; j++) { s[j] = in.row(cl(i + j - ((r & 1) ? 1 : 2), h)); q[j] = (r & 1) ? k[3 - j] : k[j]; }
            float* t = tmp.row(r);
            for (int c = 0; c < w; c += 16) st(t + c, q[0] * ld(s[0] + c) + q[1] * ld(s[1] + c) + q[2] * ld(s[2] + c) + q[3] * ld(s[3] + c));
            for (int c = 1; c <= 2; c++) t[-c] = t[0];
            for (int c = 0; c < 2; c++) t[w + c] = t[w - 1];
            float* d = o.row(r);
            for (int c = 0; c < o.w; c++) { int x = c >> 1; d[c] = (c & 1) ? k[3] * t[x - 1] + k[2] * t[x] + k[1] * t[x + 1] + k[0] * t[x + 2] : k[0] * t[x - 2] + k[1] * t[x - 1] + k[2] * t[x] + k[3] * t[x + 1]; }
        }
    });
}
// adjoint: g_in += A^T g_out; dk[4]
static void upsample_back(Plane& in, Plane& gin, Plane& go, Plane& tmp, Plane& gtmp, const float* k, float* dk) {
    int h = in.h, w = in.w;
    auto cl = [](int a, int n) { return a < 0 ? 0 : a >= n ? n - 1 : a; };
    // tmp must hold vertical pass of this stage (recomputed here)
    double d[4] = {0, 0, 0, 0};
    std::vector<float> t(w + 2 * PAD + B), g(w + 2 * PAD + B);
    for (int r = 0; r < go.h; r++) {
        int i = r >> 1; float* s[4]; float* gs[4]; int idx[4];
        for (int j = 0; j < 4; j++) { int rr = cl(i + j - ((r & 1) ? 1 : 2), h); s[j] = in.row(rr); gs[j] = gin.row(rr); idx[j] = (r & 1) ? 3 - j : j; }
        float* T = t.data() + PAD; float* G = g.data() + PAD;
        for (int c = 0; c < w; c += 16) st(T + c, k[idx[0]] * ld(s[0] + c) + k[idx[1]] * ld(s[1] + c) + k[idx[2]] * ld(s[2] + c) + k[idx[3]] * ld(s[3] + c));
        for (int c = 1; c <= 2; c++) T[-c] = T[0];
        for (int c = 0; c < 2; c++) T[w + c] = T[w - 1];
        std::fill(g.begin(), g.end(), 0.f);
        const float* o = go.row(r);
        float e[4] = {0, 0, 0, 0};
        for (int c = 0; c + 1 < go.w; c += 2) {
            int x = c >> 1; float a = o[c], b = o[c + 1];
            e[0] += a * T[x - 2] + b * T[x + 2]; e[1] += a * T[x - 1] + b * T[x + 1]; e[2] += (a + b) * 0 + a * T[x] + b * T[x]; e[3] += a * T[x + 1] + b * T[x - 1];
            G[x - 2] += k[0] * a; G[x - 1] += k[1] * a + k[3] * b; G[x] += k[2] * (a + b); G[x + 1] += k[3] * a + k[1] * b; G[x + 2] += k[0] * b;
        }
        if (go.w & 1) { int c = go.w - 1, x = c >> 1; float a = o[c];
            e[0] += a * T[x - 2]; e[1] += a * T[x - 1]; e[2] += a * T[x]; e[3] += a * T[x + 1];
            G[x - 2] += k[0] * a; G[x - 1] += k[1] * a; G[x] += k[2] * a; G[x + 1] += k[3] * a; }
        for (int c = 1; c <= 2; c++) { G[0] += G[-c]; G[-c] = 0; }
        for (int c = 0; c < 2; c++) { G[w - 1] += G[w + c]; G[w + c] = 0; }
        for (int j = 0; j < 4; j++) {
            v16 a = {};
            float q = k[idx[j]];
            for (int c = 0; c < w; c += 16) { v16 gg = ld(G + c); a += gg * ld(s[j] + c); st(gs[j] + c, ld(gs[j] + c) + q * gg); }
            d[idx[j]] += hsum(a);
        }
        for (int j = 0; j < 4; j++) d[j] += e[j];
    }
    for (int j = 0; j < 4; j++) dk[j] += d[j];
}
static void conv3(std::vector<Plane>& in, std::vector<Plane>& o, const float* p, bool relu, int threads) {
    par(threads, in[0].h, [&](int, int a, int b) {
        for (int r = a; r < b; r++) for (int q = 0; q < 3; q++) {
            float* d = o[q].row(r);
            for (int c = 0; c < in[0].w; c += 16) {
                v16 s = all(p[81 + q]);
                for (int k = 0; k < 3; k++) for (int dy = -1; dy <= 1; dy++) { const float* z = in[k].row(r + dy) + c; const float* w = p + (q * 3 + k) * 9 + (dy + 1) * 3;
                    s += w[0] * ld(z - 1) + w[1] * ld(z) + w[2] * ld(z + 1); }
                if (relu) s = vmax(s, v16{});
                st(d + c, s + ld(in[q].row(r) + c));
            }
        }
    });
}
static void edge(std::vector<Plane>& P) {
    for (auto& p : P) { for (int r = 0; r < p.h; r++) { float* d = p.row(r); d[-1] = d[0]; d[p.w] = d[p.w - 1]; }
        memcpy(p.row(-1) - 1, p.row(0) - 1, (p.w + 2) * 4); memcpy(p.row(p.h) - 1, p.row(p.h - 1) - 1, (p.w + 2) * 4); }
}
static void fold(std::vector<Plane>& P) {  // adjoint of edge
    for (auto& p : P) {
        for (int c = -1; c <= p.w; c++) { p.row(0)[c] += p.row(-1)[c]; p.row(-1)[c] = 0; p.row(p.h - 1)[c] += p.row(p.h)[c]; p.row(p.h)[c] = 0; }
        for (int r = 0; r < p.h; r++) { float* d = p.row(r); d[0] += d[-1]; d[-1] = 0; d[p.w - 1] += d[p.w]; d[p.w] = 0; } }
}
// g: gradient wrt o (read), gin: gradient wrt in (written, before fold); o-in > 0 tells relu
static void conv3_back(std::vector<Plane>& in, std::vector<Plane>& o, std::vector<Plane>& g, std::vector<Plane>& gin, const float* p, std::vector<std::vector<float>>& gp, int off, bool relu, int threads) {
    int w = in[0].w, h = in[0].h;
    for (auto& q : gin) q.zero();
    static std::vector<Plane> m; if (m.size() != 3 || m[0].w != w || m[0].h != h) { m.resize(3); for (auto& q : m) q.make(h, w); }
    par(threads, h, [&](int t, int a, int b) {
        float* dp = gp[t].data() + off;
        for (int q = 0; q < 3; q++) { v16 bs = {}; v16 acc[27] = {};
            for (int r = a; r < b; r++) {
                float* M = m[q].row(r);
                for (int c = 0; c < w; c += 16) {
                    v16 x = ld(g[q].row(r) + c);
                    if (c + 16 > w) for (int i = w - c; i < 16; i++) x[i] = 0;
                    if (relu) x = sel(ld(o[q].row(r) + c) - ld(in[q].row(r) + c) > 0, x, v16{});
                    st(M + c, x); bs += x;
                    for (int k = 0; k < 3; k++) for (int dy = 0; dy < 3; dy++) { const float* z = in[k].row(r + dy - 1) + c;
                        v16* A = acc + k * 9 + dy * 3; A[0] += x * ld(z - 1); A[1] += x * ld(z); A[2] += x * ld(z + 1); }
                }
            }
            for (int k = 0; k < 27; k++) dp[q * 27 + k] += hsum(acc[k]);
            dp[81 + q] += hsum(bs);
        }
    });
    // gather form including the border ring rows -1..h, cols -1..w
    par(threads, h + 2, [&](int, int a, int b) {
        for (int rr = a; rr < b; rr++) { int r = rr - 1;
            for (int k = 0; k < 3; k++) { float* d = gin[k].row(r);
                for (int c = -1; c <= w; c += 16) {
                    v16 s = {};
                    for (int q = 0; q < 3; q++) for (int dy = -1; dy <= 1; dy++) { int R = r - dy; if (R < 0 || R >= h) continue;
                        const float* z = m[q].row(R) + c; const float* W = p + (q * 3 + k) * 9 + (dy + 1) * 3;
                        s += W[0] * ld(z + 1) + W[1] * ld(z) + W[2] * ld(z - 1); }
                    st(d + c, s);
                }
                for (int c = w + 1; c < w + 16; c++) d[c] = 0;
            } }
    });
    fold(gin);
    par(threads, h, [&](int, int a, int b) { for (int r = a; r < b; r++) for (int q = 0; q < 3; q++) for (int c = 0; c < w; c += 16) {
        v16 x = ld(g[q].row(r) + c); if (c + 16 > w) for (int i = w - c; i < 16; i++) x[i] = 0;
        st(gin[q].row(r) + c, ld(gin[q].row(r) + c) + x); } });
}
extern "C" {
Fit* pyr_new(int H, int W, int L, int spatial, int inter, const int* arm, int na, const int* syn, int ns, const float* img, int threads) {
    Fit* F = new Fit; F->H = H; F->W = W; F->L = L; F->threads = threads; F->spatial = spatial; F->inter = inter;
    F->arm.n = na - 1; F->syn.n = ns - 1;
    for (int i = 0; i < na; i++) F->arm.s[i] = arm[i];
    for (int i = 0; i < ns; i++) F->syn.s[i] = syn[i];
    auto levels = [&](std::vector<Plane>& p) { p.resize(L); for (int l = 0; l < L; l++) p[l].make((H + (1 << l) - 1) >> l, (W + (1 << l) - 1) >> l); };
    levels(F->y); levels(F->v); levels(F->dsr); levels(F->gv); levels(F->m1); levels(F->m2);
    F->gt.resize(threads); for (auto& g : F->gt) levels(g);
    F->up.resize(L); F->gup.resize(L);
    for (int l = 0; l < L; l++) { F->up[l].resize(l); F->gup[l].resize(l); for (int s = 0; s < l; s++) { F->up[l][s].make(F->v[s].h, F->v[s].w); F->gup[l][s].make(F->v[s].h, F->v[s].w); } }
    levels(F->tmp);
    for (auto* p : {&F->img, &F->out, &F->o1, &F->o2, &F->gI, &F->gJ}) { p->resize(3); for (auto& q : *p) q.make(H, W); }
    for (int c = 0; c < 3; c++) for (int r = 0; r < H; r++) memcpy(F->img[c].row(r), img + ((size_t)c * H + r) * W, W * 4);
    F->gp.assign(threads, std::vector<float>(F->nparam())); F->tb.resize(threads); F->td.resize(threads);
    return F;
}
void pyr_free(Fit* F) { delete F; }
int pyr_nparam(Fit* F) { return F->nparam(); }
void pyr_latent(Fit* F, int l, float* buf, int set, int which) {
    Plane& P = which == 0 ? F->y[l] : which == 1 ? F->v[l] : F->gv[l];
    for (int r = 0; r < P.h; r++) { if (set) memcpy(P.row(r), buf + (size_t)r * P.w, P.w * 4); else memcpy(buf + (size_t)r * P.w, P.row(r), P.w * 4); }
}
// mode 0: soft-round with noise, gradient; 1: straight-through (hard forward, derivative of soft-round T); 2: hard, no gradient
// out: mse (mean over 3HW, of clamped float), bits, bits of 8-bit... ; grads[nparam]
void pyr_step(Fit* F_, const float* P, float* grads, float lam, float T, float sigma, float gain, int mode, uint32_t seed, double* res, float* render, float* bits_map, double* level_bits) {
    Fit& F = *F_; int L = F.L, th = F.threads; bool grad = mode != 2;
    const float *pa = P, *ps = pa + F.arm.count(), *pu = ps + F.syn.count(), *pc = pu + F.ups();
    int oa = 0, os = F.arm.count(), ou = os + F.syn.count(), oc = ou + F.ups();
    for (auto& g : F.gp) std::fill(g.begin(), g.end(), 0.f);
    float it = 1 / T, nrm = .5f / std::tanh(.5f * it);
    for (int l = 0; l < L; l++) {
        Plane& Y = F.y[l];
        par(l < 3 ? th : 1, Y.h, [&](int, int a, int b) {
            for (int r = a; r < b; r++) { uint32_t base = seed * 2654435761u + (uint32_t)(l * 40503u + r) * 2246822519u;
                for (int c = 0; c < Y.w; c += 16) {
                    v16 u = ld(Y.row(r) + c) * gain, d = all(1.f), x;
                    auto fl = [](v16 z) { i16 n = __builtin_convertvector(z, i16); v16 f = __builtin_convertvector(n, v16); return sel(f > z, f - 1.f, f); };
                    if (mode == 0) {
                        v16 f = fl(u), q = u - f - .5f, t = vtanh(q * it);
                        x = f + .5f + nrm * t; d = nrm * it * (1.f - t * t);
                        typedef uint32_t u16v __attribute__((vector_size(64)));
                        u16v s; for (int i = 0; i < 16; i++) s[i] = base + (uint32_t)(c + i) * 3266489917u;
                        s ^= s >> 15; s *= 2246822519u; s ^= s >> 13; s *= 3266489917u; s ^= s >> 16;
                        u16v s2 = s * 747796405u + 2891336453u; s2 ^= s2 >> 16; s2 *= 2246822519u; s2 ^= s2 >> 15;
                        v16 nz = __builtin_convertvector((i16)(s & 0xffff) + (i16)(s >> 16) + (i16)(s2 & 0xffff) + (i16)(s2 >> 16), v16) * (1.f / 65536) - 2.f;
                        x += nz * (1.7320508f * sigma);
                        f = fl(x); q = x - f - .5f; t = vtanh(q * it);
                        x = f + .5f + nrm * t; d *= nrm * it * (1.f - t * t);
                    } else {
                        v16 f = fl(u), q = u - f - .5f, t = vtanh(q * it);
                        x = fl(u + .5f); d = nrm * it * (1.f - t * t);
                    }
                    if (c + 16 > Y.w) for (int i = Y.w - c; i < 16; i++) x[i] = 0;
                    st(F.v[l].row(r) + c, x); st(F.dsr[l].row(r) + c, d * gain);
                } }
        });
    }
    if (grad) for (auto& g : F.gt) for (auto& p : g) p.zero();
    double n = (double)F.H * F.W;
    float lr = lam / n;
    double bits = 0;
    for (int l = 0; l < L; l++) {
        std::fill(F.tb.begin(), F.tb.end(), 0.0);
        par(l < 4 ? th : 1, F.v[l].h, [&](int t, int a, int b) { F.tb[t] += rate_rows(F, l, pa, F.gp[t].data() + oa, lr, t, a, b, grad, l == 0 ? bits_map : nullptr); });
        double s = 0; for (double q : F.tb) s += q; bits += s; if (level_bits) level_bits[l] = s;
    }
    // upsampling: stage s -> s-1 uses kernel pu + 4*(s-1)
    for (int l = 1; l < L; l++) for (int s = l - 1; s >= 0; s--) upsample(s == l - 1 ? F.v[l] : F.up[l][s + 1], F.up[l][s], F.tmp[s], pu + 4 * s, s < 3 ? th : 1);
    // synthesis forward (stores nothing but out); backward recomputes per block
    par(th, F.H, [&](int, int a, int b) {
        static thread_local float x[16 * B], h[4][64 * B], o[4 * B];
        for (int r = a; r < b; r++) for (int c = 0; c < F.W; c += B) {
            for (int l = 0; l < L; l++) { const float* s = (l ? F.up[l][0] : F.v[0]).row(r) + c; for (int q = 0; q < B; q += 16) st(x + l * B + q, ld(s + q)); }
            F.syn.forward(ps, x, h, o);
            for (int k = 0; k < 3; k++) for (int q = 0; q < B; q += 16) if (c + q < F.W) st(F.out[k].row(r) + c + q, ld(o + k * B + q) + .5f);
        }
    });
    edge(F.out); conv3(F.out, F.o1, pc, true, th); edge(F.o1); conv3(F.o1, F.o2, pc + 84, false, th);
    std::fill(F.td.begin(), F.td.end(), 0.0);
    float k2 = 2.f / (3 * n);
    std::vector<double> t8(th, 0.0);
    par(th, F.H, [&](int t, int a, int b) {
        double sse = 0, s8 = 0;
        for (int k = 0; k < 3; k++) for (int r = a; r < b; r++) { v16 acc = {}, acc8 = {};
            for (int c = 0; c < F.W; c += 16) {
                v16 z = vmin(vmax(ld(F.o2[k].row(r) + c), v16{}), all(1.f)), im = ld(F.img[k].row(r) + c);
                v16 z8 = __builtin_convertvector(__builtin_convertvector(z * 255.f + .5f, i16), v16) * (1 / 255.f) - im;
                v16 d = z - im;
                if (c + 16 > F.W) for (int i = F.W - c; i < 16; i++) { d[i] = 0; z8[i] = 0; }
                acc += d * d; acc8 += z8 * z8; st(F.gI[k].row(r) + c, d * k2);
                if (render) for (int i = 0; i < 16 && c + i < F.W; i++) render[((size_t)k * F.H + r) * F.W + c + i] = z[i];
            }
            sse += hsum(acc); s8 += hsum(acc8); }
        F.td[t] += sse; t8[t] += s8;
    });
    double sse = 0, s8 = 0; for (double q : F.td) sse += q; for (double q : t8) s8 += q;
    res[0] = sse / (3 * n); res[1] = bits; res[2] = s8 / (3 * n);
    if (!grad) return;
    conv3_back(F.o1, F.o2, F.gI, F.gJ, pc + 84, F.gp, oc + 84, false, th);
    conv3_back(F.out, F.o1, F.gJ, F.gI, pc, F.gp, oc, true, th);
    par(th, F.H, [&](int t, int a, int b) {
        static thread_local float x[16 * B], h[4][64 * B], o[4 * B], go[4 * B], gx[16 * B];
        for (int r = a; r < b; r++) for (int c = 0; c < F.W; c += B) {
            for (int l = 0; l < L; l++) { const float* s = (l ? F.up[l][0] : F.v[0]).row(r) + c; for (int q = 0; q < B; q += 16) st(x + l * B + q, ld(s + q)); }
            F.syn.forward(ps, x, h, o);
            for (int k = 0; k < 3; k++) for (int q = 0; q < B; q += 16) { v16 g = c + q < F.W ? ld(F.gI[k].row(r) + c + q) : v16{};
                if (c + q + 16 > F.W) for (int i = std::max(0, F.W - c - q); i < 16; i++) g[i] = 0; st(go + k * B + q, g); }
            F.syn.backward(ps, F.gp[t].data() + os, x, h, go, gx);
            for (int l = 0; l < L; l++) for (int q = 0; q < B && c + q < F.W; q += 16) st((l ? F.gup[l][0] : F.gv[0]).row(r) + c + q, ld(gx + l * B + q));
        }
    });
    std::vector<float> dk(4 * L * L, 0.f);
    auto chain = [&](int l) { for (int s = 0; s < l; s++) { Plane& in = s == l - 1 ? F.v[l] : F.up[l][s + 1]; Plane& gin = s == l - 1 ? F.gv[l] : F.gup[l][s + 1];
        gin.zero(); upsample_back(in, gin, F.gup[l][s], F.tmp[s], F.tmp[s], pu + 4 * s, dk.data() + (l * L + s) * 4); } };
    if (th == 1) for (int l = 1; l < L; l++) chain(l);
    else { std::vector<std::thread> ts; for (int t = 0; t < th; t++) ts.emplace_back([&, t] { for (int l = 1 + t; l < L; l += th) chain(l); }); for (auto& x : ts) x.join(); }
    for (int l = 1; l < L; l++) for (int s = 0; s < l; s++) for (int j = 0; j < 4; j++) F.gp[0][ou + 4 * s + j] += dk[(l * L + s) * 4 + j];
    for (int l = 0; l < L; l++) { Plane& G = F.gv[l];
        for (int r = 0; r < G.h; r++) { float* g = G.row(r); const float* d = F.dsr[l].row(r);
            for (int c = 0; c < G.w; c += 16) { v16 s = ld(g + c); for (int t = 0; t < th; t++) s += ld(F.gt[t][l].row(r) + c); st(g + c, s * ld(d + c)); } } }
    for (int i = 0; i < F.nparam(); i++) { float s = 0; for (auto& g : F.gp) s += g[i]; grads[i] = s; }
}
void pyr_adam(Fit* F_, float lr, float b1, float b2, float eps, int t) {
    Fit& F = *F_; float c1 = 1 / (1 - std::pow(b1, t)), c2 = 1 / (1 - std::pow(b2, t));
    for (int l = 0; l < F.L; l++) for (int r = 0; r < F.y[l].h; r++) { float *y = F.y[l].row(r), *g = F.gv[l].row(r), *m = F.m1[l].row(r), *q = F.m2[l].row(r);
        for (int c = 0; c < F.y[l].w; c++) { m[c] = b1 * m[c] + (1 - b1) * g[c]; q[c] = b2 * q[c] + (1 - b2) * g[c] * g[c]; y[c] -= lr * (m[c] * c1) / (std::sqrt(q[c] * c2) + eps); } }
}
}
