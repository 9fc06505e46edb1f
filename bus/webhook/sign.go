package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
)

var errSecret = errors.New(msgSecretForm)

// sign returns the header webhook-signature: for each secret "v1," and base64 of the HMAC-SHA256 of "id.timestamp.body", separated by
// spaces. Secrets are separated by white space.
func sign(secrets, id, timestamp string, body []byte) (string, error) {
	var signatures []string
	for _, s := range strings.Fields(secrets) {
		text, ok := strings.CutPrefix(s, "whsec_")
		key, err := base64.StdEncoding.DecodeString(text)
		if !ok || err != nil || len(key) < 24 || len(key) > 64 {
			return "", errSecret
		}
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + timestamp + "."))
		mac.Write(body)
		signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	if len(signatures) == 0 {
		return "", errSecret
	}
	return strings.Join(signatures, " "), nil
}

// Secrets resolve references: "env:NAME" and "file:PATH". Whoever may write a definition may name any reference and send it anywhere,
// so that it must not reach what was not put there for this: only environment variables that begin with EnvPrefix, and only
// files under Folder (PATH is relative to it; links that lead out are not followed).
type Secrets struct {
	EnvPrefix string                      // for example "EVENKEEL_SECRET_"; "" allows no variable
	LookupEnv func(string) (string, bool) // os.LookupEnv
	Folder    string                      // "" allows no file
}

const secretMax = 8 << 10 // bytes of a secret's file

// Resolve returns what ref stands for. Its errors hold the reference only.
func (s Secrets) Resolve(ref string) (string, error) {
	if name, ok := strings.CutPrefix(ref, "env:"); ok {
		if s.EnvPrefix == "" || !strings.HasPrefix(name, s.EnvPrefix) {
			return "", fmt.Errorf("resolve %s: only variables that begin with %q may be used", ref, s.EnvPrefix)
		}
		v, ok := s.LookupEnv(name)
		if !ok || v == "" {
			return "", fmt.Errorf("resolve %s: it is not set", ref)
		}
		return v, nil
	}
	path, ok := strings.CutPrefix(ref, "file:")
	if !ok {
		return "", errors.New("resolve a reference: it is neither env:NAME nor file:PATH")
	}
	if s.Folder == "" {
		return "", fmt.Errorf("resolve %s: there is no folder for secrets", ref)
	}
	return s.file(ref, path)
}

func (s Secrets) file(ref, path string) (string, error) {
	root, err := os.OpenRoot(s.Folder)
	if err != nil {
		return "", fmt.Errorf("resolve %s: open the folder for secrets: %w", ref, err)
	}
	defer root.Close()
	f, err := root.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("resolve %s: there is no such file in the folder for secrets", ref)
	}
	if err != nil {
		return "", fmt.Errorf("resolve %s: it cannot be read; a path is relative to the folder for secrets", ref)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, secretMax+1))
	if err != nil || len(b) > secretMax {
		return "", fmt.Errorf("resolve %s: it cannot be read, or is over %d bytes", ref, secretMax)
	}
	v := strings.TrimSpace(string(b))
	if v == "" {
		return "", fmt.Errorf("resolve %s: the file is empty", ref)
	}
	return v, nil
}
